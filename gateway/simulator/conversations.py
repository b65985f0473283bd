"""The conversations bundled for the demo: a manifest and the recordings beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from gateway.simulator.recording import Recording, load_recording

RECORDINGS_DIR = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing the caller says: the recording, and its words."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One caller's part of a call.

    Attributes:
        language: ISO 639-1 code, sent as the call's ``languageHint``.
        voice: espeak-ng voice the recordings were made with.
        words_per_minute: speed they were made with.
    """

    language: str
    voice: str
    words_per_minute: int
    lines: tuple[Line, ...]

    def recordings(self) -> list[Recording]:
        """The lines as audio."""
        return [load_recording(line.path, line.text) for line in self.lines]


def load_conversations() -> list[Conversation]:
    """The conversations of ``recordings/conversations.toml``, in the order they are written."""
    manifest = tomllib.loads((RECORDINGS_DIR / "conversations.toml").read_text(encoding="utf-8"))
    return [
        Conversation(
            language=entry["language"],
            voice=entry["voice"],
            words_per_minute=entry["words_per_minute"],
            lines=tuple(
                Line(RECORDINGS_DIR / line["file"], line["text"]) for line in entry["utterances"]
            ),
        )
        for entry in manifest["conversation"]
    ]

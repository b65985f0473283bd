"""What a scenario file says: calls, the caller's turns in them, and what is expected of each.

The names here are the keys of the TOML files; docs/scenarios.md explains them for authors. Times
are milliseconds, levels dB.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

Language: TypeAlias = Literal["en", "ar", "ru"]
Hint: TypeAlias = Literal["auto", "en", "ar", "ru"]
SoundKind: TypeAlias = Literal[
    "cough", "breath", "click", "dtmf", "babble", "street", "music", "silence"
]
LineKind: TypeAlias = Literal["wideband", "telephone"]
NoiseKind: TypeAlias = Literal["babble", "street", "music"]
Kind: TypeAlias = Literal["turn", "interruption", "back-channel", "cough", "noise", "silence"]

UNANSWERED_KINDS = frozenset(("back-channel", "cough", "noise", "silence"))
"""What a caller does without taking the turn."""

DEFAULT_WER = 0.6
DEFAULT_WAIT_MS = 2000
DEFAULT_AFTER_MS = 300


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A piece of what the caller utters: exactly one of ``text``, ``file`` and ``sound``.

    Attributes:
        text: words for a TTS voice; beside ``file``, the words that the file holds.
        file: WAV or FLAC file, relative to the scenario file.
        sound: a made-up sound of ``ms`` milliseconds.
        seed: another variant of the sound.
        language, voice, length_scale: how text is spoken; otherwise as the turn says.
        level_db: louder or softer than the rest of the turn.
        speech: [start, end] of the speech in a file, ms, if energy does not tell it.
    """

    text: str = ""
    file: str = ""
    sound: SoundKind | None = None
    ms: int = 0
    seed: int = 0
    language: Language | None = None
    voice: str = ""
    length_scale: float | None = None
    level_db: float = 0.0
    speech: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not (self.text or self.file or self.sound):
            raise ValueError("expected one of 'text', 'file' and 'sound'")
        if self.text and not self.text.strip():
            raise ValueError("expected words in 'text', got an empty text")
        if self.sound and (self.text or self.file):
            raise ValueError("expected 'sound' alone, without 'text' and 'file'")
        if bool(self.sound) != bool(self.ms):
            raise ValueError("expected 'sound' and 'ms' together")
        if self.sound and not 1 <= self.ms <= 60_000:
            raise ValueError(f"expected 'ms' from 1 to 60000, got {self.ms}")
        _check_seed(self.seed)
        if self.speech and not (self.file and 0 <= self.speech[0] < self.speech[1]):
            raise ValueError("expected 'speech' as [start, end] in ms, beside 'file'")
        _check_manner(self.length_scale, self.level_db)


class Expect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to come of a turn, where it differs from what its kind implies.

    Attributes:
        transcript: the words to be recognised; otherwise the words that are said.
        wer: highest word error rate of that transcript, 0..
        answered: the assistant answers.
        stops: the assistant, which is spoken over, falls silent for good.
        history: words that the transcripts told to the client must hold.
        not_in_history: words that they must not hold: nobody heard them.
        reply_language: language of the answer.
    """

    transcript: str | None = None
    wer: float = DEFAULT_WER
    answered: bool | None = None
    stops: bool | None = None
    history: tuple[str, ...] = ()
    not_in_history: tuple[str, ...] = ()
    reply_language: Language | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.wer) and self.wer >= 0):
            raise ValueError(f"expected a finite 'wer' of 0 or more, got {self.wer}")


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing the caller does.

    Attributes:
        say: words, or a list of words, pauses in ms, and parts.
        kind: what it is; decides what is expected.
        tag: what reports sort it under; otherwise its kind.
        over_ms: begins this long after the assistant's audio does, and over it.
        before_end_ms: begins this long before the greeting ends.
        after_ms: begins after this much silence of the assistant.
        wait_ms: how long to watch that nothing comes of it, for kinds that want no answer.
        language, voice, length_scale, level_db: how words are spoken; otherwise as the call says.
    """

    say: str | tuple[str | int | Part, ...] = ()
    kind: Kind = "turn"
    tag: str = ""
    over_ms: int | None = None
    before_end_ms: int | None = None
    after_ms: int = DEFAULT_AFTER_MS
    wait_ms: int = DEFAULT_WAIT_MS
    language: Language | None = None
    voice: str = ""
    length_scale: float | None = None
    level_db: float = 0.0
    expect: Expect = msgspec.field(default_factory=Expect)

    def __post_init__(self) -> None:
        if self.over_ms is not None and self.before_end_ms is not None:
            raise ValueError("expected 'over_ms' or 'before_end_ms', got both")
        if self.kind in ("interruption", "back-channel") and not self.over:
            raise ValueError(f"expected 'over_ms' or 'before_end_ms' for kind {self.kind!r}")
        for name in ("over_ms", "before_end_ms", "after_ms", "wait_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 60_000:
                raise ValueError(f"expected {name!r} from 0 to 60000, got {value}")
        _check_manner(self.length_scale, self.level_db)
        if any(isinstance(p, int) and not 0 < p <= 10_000 for p in self.parts):
            raise ValueError("expected pauses from 1 to 10000 ms in 'say'")
        if any(isinstance(p, int) and isinstance(q, int) for p, q in pairwise(self.parts)):
            raise ValueError("expected one pause at a time in 'say', got two in a row")
        if any(isinstance(p, str) and not p.strip() for p in self.parts):
            raise ValueError("expected words in 'say', got an empty text")
        utters = any(not isinstance(p, int) for p in self.parts)
        if utters != (self.kind != "silence"):
            wanted = "no 'say'" if utters else "something in 'say'"
            raise ValueError(f"expected {wanted} for kind {self.kind!r}")

    @property
    def parts(self) -> tuple[str | int | Part, ...]:
        """``say`` as a list."""
        return (self.say,) if isinstance(self.say, str) else self.say

    @property
    def over(self) -> bool:
        """Does the caller speak over the assistant?"""
        return self.over_ms is not None or self.before_end_ms is not None

    @property
    def answered(self) -> bool:
        """Is the assistant expected to answer?"""
        told = self.expect.answered
        return self.kind not in UNANSWERED_KINDS if told is None else told

    @property
    def stops(self) -> bool:
        """Is the assistant, spoken over, expected to fall silent for good?"""
        told = self.expect.stops
        return self.over and (self.kind not in UNANSWERED_KINDS if told is None else told)

    @property
    def said(self) -> str:
        """The words of the turn, as far as they are known."""
        words = [p if isinstance(p, str) else p.text for p in self.parts if not isinstance(p, int)]
        return " ".join(word for word in words if word)

    @property
    def transcript(self) -> str:
        """The words that are to be recognised; "" when they are not checked."""
        told = self.expect.transcript
        return told if told is not None else self.said if self.answered else ""


def _check_manner(length_scale: float | None, level_db: float) -> None:
    """Refuse a pace or level at which nothing can be spoken; nan lies in no range."""
    if length_scale is not None and not 0.3 <= length_scale <= 3:
        raise ValueError(f"expected 'length_scale' from 0.3 to 3, got {length_scale}")
    if not -60 <= level_db <= 60:
        raise ValueError(f"expected 'level_db' from -60 to 60, got {level_db}")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"expected 'seed' of 0 or more, got {seed}")


class Noise(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Noise behind the caller for the whole call: a made-up ``kind`` or a ``file``, looped.

    Attributes:
        snr_db: level of the caller's speech above the noise.
    """

    snr_db: float
    kind: NoiseKind | None = None
    file: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.kind) == bool(self.file):
            raise ValueError("expected either 'kind' or 'file'")
        _check_seed(self.seed)
        if not -20 <= self.snr_db <= 60:
            raise ValueError(f"expected 'snr_db' from -20 to 60, got {self.snr_db}")


class Echo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The assistant's own audio, coming back on the caller's line."""

    level_db: float = -20.0
    delay_ms: int = 150

    def __post_init__(self) -> None:
        if not -60 <= self.level_db <= 0:
            raise ValueError(f"expected 'level_db' from -60 to 0, got {self.level_db}")
        if not 0 <= self.delay_ms <= 2000:
            raise ValueError(f"expected 'delay_ms' from 0 to 2000, got {self.delay_ms}")


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the caller's audio reaches the gateway, other than evenly.

    Attributes:
        burst_ms: audio is collected and sent this much at a time.
        gap_ms, every_ms: nothing is sent for ``gap_ms`` every ``every_ms``; it is lost. With both
            the same, the client is muted.
        drift_percent: the caller's clock runs fast (or slow, below 0).
    """

    burst_ms: int = 0
    gap_ms: int = 0
    every_ms: int = 2000
    drift_percent: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.burst_ms <= 2000:
            raise ValueError(f"expected 'burst_ms' from 0 to 2000, got {self.burst_ms}")
        if self.every_ms < 1:
            raise ValueError(f"expected 'every_ms' of 1 or more, got {self.every_ms}")
        if not 0 <= self.gap_ms <= self.every_ms:
            raise ValueError(f"expected 'gap_ms' from 0 to 'every_ms', got {self.gap_ms}")
        if not -5 <= self.drift_percent <= 5:
            raise ValueError(f"expected 'drift_percent' from -5 to 5, got {self.drift_percent}")


class Call(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call: its line, and the caller's turns in order.

    Attributes:
        language: of the caller's words; ``hint`` is what the client says about it.
        voice: Piper voice of the caller; a name or a file beside the scenario.
        length_scale: pace of the voice, 1.2 is slower by a fifth.
        level_dbfs: active speech level.
        line: wideband (16 kHz), or telephone (8 kHz mu-law, 300-3400 Hz).
    """

    name: str
    language: Language
    turn: tuple[Turn, ...]
    hint: Hint = "auto"
    voice: str = ""
    length_scale: float = 1.0
    level_dbfs: float = -23.0
    line: LineKind = "wideband"
    noise: Noise | None = None
    echo: Echo | None = None
    network: Network | None = None

    def __post_init__(self) -> None:
        if not self.turn:
            raise ValueError("expected at least one [[call.turn]]")
        if not 0.3 <= self.length_scale <= 3:
            raise ValueError(f"expected 'length_scale' from 0.3 to 3, got {self.length_scale}")
        if not -60 <= self.level_dbfs <= -6:
            raise ValueError(f"expected 'level_dbfs' from -60 to -6, got {self.level_dbfs}")

    def turn_language(self, turn: Turn) -> str:
        """Language of a turn's words."""
        return turn.language or self.language


class ScenarioFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file; ``defaults`` holds keys of calls that lack them."""

    call: tuple[Call, ...]
    defaults: dict[str, Any] = {}

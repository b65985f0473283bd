"""Speaks the words of scenarios with Piper voices, and keeps what was spoken on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from gateway.audio.pcm import Samples
from gateway.errors import GatewayError
from gateway.model_paths import STARTER, ModelPaths

_VOICES = {"en": "en_espeak", "ar": "ar", "ru": "ru"}
"""The starter voices that the starter recogniser understands best."""

_FORMAT = 1
"""Part of every cache key; a change of how audio is made makes new keys."""

LEVEL_DBFS = -23.0
"""Active level of what is spoken; a turn's own level is applied later."""


class VoiceError(GatewayError):
    """A caller's voice that cannot be used; the message says why."""


def cache_folder() -> Path | None:
    """Where spoken words are kept: below XDG_CACHE_HOME, or ~/.cache; None without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return base.expanduser() / "voice-gateway" / "callers"
    except RuntimeError:
        return None


class CallerVoices:
    """Speaks words in any voice; a voice is loaded only when its words are not in the cache.

    Args:
        models: where voices lie.
        cache: folder for spoken words, or None to speak them each time.
    """

    def __init__(self, models: ModelPaths, cache: Path | None = None) -> None:
        self._models = models
        self._cache = cache
        self._loaded: dict[tuple[Path, float], _Speaker] = {}
        self._digests: dict[Path, str] = {}

    def speak(
        self, text: str, language: str, name: str, length_scale: float, folder: Path
    ) -> Samples:
        """The words as int16, 16 kHz, at LEVEL_DBFS.

        Args:
            name: a voice file relative to ``folder``, the name of a starter or downloaded voice,
                or "" for the starter voice of the language.

        Raises:
            VoiceError: there is no such voice, or it says nothing for these words.
        """
        path = self._path(name, language, folder)
        kept = self._cache and self._cache / f"{self._key(path, text, length_scale)}.npy"
        if kept and (found := _find(kept)) is not None:
            return found
        samples = self._speaker(path, language, length_scale).speak(text)
        if not samples.size:
            raise VoiceError(f"the voice {path} says nothing for {text!r}")
        if kept:
            _keep(kept, samples)
        return samples

    def _path(self, name: str, language: str, folder: Path) -> Path:
        wanted = name or _VOICES[language]
        beside = folder / wanted
        starter = self._models.voice(STARTER, wanted)
        for path in (beside, starter, self._models.voice(wanted, language)):
            if os.path.isfile(path):  # Path.is_file() raises if the name is too long
                return path
        raise VoiceError(
            f"no voice {wanted!r} for the caller: looked for {beside}, {starter} and a downloaded"
            " one; the starter voices are en, en_espeak, ar and ru"
        )

    def _key(self, path: Path, text: str, length_scale: float) -> str:
        if path not in self._digests:
            self._digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        parts = (str(_FORMAT), self._digests[path], f"{length_scale:g}", text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def _speaker(self, path: Path, language: str, length_scale: float) -> _Speaker:
        key = (path, length_scale)
        if key not in self._loaded:
            self._loaded[key] = _Speaker(path, language, length_scale)
        return self._loaded[key]


class _Speaker:
    def __init__(self, path: Path, language: str, length_scale: float) -> None:
        # The voice's libraries take a second to import: only when something must be spoken.
        from gateway.engines.piper_voice import VoiceSettings, load_voice

        settings = VoiceSettings(path, length_scale=length_scale)
        self._voice = load_voice(language, settings, LEVEL_DBFS)

    def speak(self, text: str) -> Samples:
        from gateway.engines.piper_text import Piece

        return self._voice.speak(Piece(text, 0.0)).samples


def _find(path: Path) -> Samples | None:
    """What the cache holds; None if that is nothing, or damaged: then it is made anew."""
    try:
        samples: Samples = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return samples


def _keep(path: Path, samples: Samples) -> None:
    """Write to the cache; several runs may do so at once, and a full disk costs only time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.npy")
        np.save(unfinished, samples)
        unfinished.replace(path)
    except OSError:
        return

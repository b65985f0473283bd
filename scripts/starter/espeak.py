"""espeak-ng's C library, which also tells when each phoneme begins (``espeak-ng/speak_lib.h``)."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# Options of espeak_Initialize: report phonemes, and name them in IPA instead of ASCII.
PHONEMES, IPA = 1, 2
_SYNCHRONOUS, _UTF8 = 2, 1
_PHONEME_EVENT = 7
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER


class _Id(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_id", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """One loaded copy of the library; ``data`` is its folder, None for the installed one.

    ``rate`` is that of its samples, in Hz.
    """

    def __init__(self, library: ctypes.CDLL, options: int, data: Path | None = None) -> None:
        self._library = library
        path = None if data is None else str(data).encode()
        self.rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, path, options))
        self._chunks: list[npt.NDArray[np.int16]] = []
        self._phonemes: list[tuple[bytes, int]] = []
        self._callback = _CALLBACK(self._collect)  # the library keeps only the pointer
        library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        at = 0
        while events and events[at].type:
            if events[at].type == _PHONEME_EVENT:
                self._phonemes.append((events[at].id.string, events[at].sample))
            at += 1
        return 0

    def take_voice(self, voice: str) -> None:
        """Speak as "language+variant" from now on.

        Raises:
            ValueError: there is no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")

    def set_prosody(self, speed: int, pitch: int, pitch_range: int) -> None:
        """``speed`` in words a minute, both pitches 0..100."""
        for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def say(self, text: str) -> tuple[npt.NDArray[np.int16], list[tuple[bytes, int]]]:
        """Mono samples, and of each phoneme its name and the sample it begins at."""
        self._chunks, self._phonemes = [], []
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        return samples, self._phonemes

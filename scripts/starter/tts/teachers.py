"""The voices that are imitated: espeak-ng with a softened voice, and flite's ``slt``.

espeak-ng is the very library inside piper-tts, on a private copy: its phoneme events are then the
very phonemes that Piper will send to the voice.
"""

import ctypes
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import piper
from scipy.signal import resample_poly

from .vocoder import RATE, Floats

# (unit, start in seconds, end in seconds)
Units = list[tuple[str, float, float]]

_VARIANT = """language variant
name starter
gender female
pitch 165 245
roughness 0
flutter 2
formant 0 105 90 130
formant 1 112 90 125
formant 2 113 90 120
formant 3 113 85 120
formant 4 115 85 130
formant 5 115 80 140
formant 6 110 70 150
formant 7 110 70 150
formant 8 110 70 150
consonants 100 100
"""
_PHONEME_EVENT = 7
_SPEED, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER


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
    """Speaks one language; ``work`` gets the private copy."""

    def __init__(self, work: Path, language: str) -> None:
        origin = Path(piper.__file__).parent
        library, data = work / "libteacher.so", work / "espeak-ng-data"
        work.mkdir(parents=True, exist_ok=True)
        if not library.exists():
            shutil.copy(origin / "espeakbridge.so", library)
        if not data.exists():
            shutil.copytree(origin / "espeak-ng-data", data)
        (data / "voices" / "!v" / "starter").write_text(_VARIANT)
        self._chunks: list[Any] = []
        self._starts: list[tuple[str, int]] = []
        self._library = ctypes.PyDLL(str(library))
        self._callback = _CALLBACK(self._collect)  # the library keeps only the pointer
        self._rate = int(self._library.espeak_Initialize(2, 0, str(data).encode(), 1 | 2))
        self._library.espeak_SetSynthCallback(self._callback)
        for parameter, value in ((_SPEED, 160), (_PITCH, 50), (_RANGE, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        voice = f"{language}+starter"
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type != 0:
            if events[at].type == _PHONEME_EVENT:
                name = events[at].id.string.decode("utf8", "ignore")
                self._starts.append((name, events[at].sample))
            at += 1
        return 0

    def say(self, text: str) -> tuple[Floats, Units]:
        """Samples at 16 kHz and phonemes in IPA ("" for a pause)."""
        self._chunks, self._starts = [], []
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._chunks).astype(np.float64) / 32768
        ends = [sample for _, sample in self._starts[1:]] + [len(samples)]
        units = [
            (name, start / self._rate, end / self._rate)
            for (name, start), end in zip(self._starts, ends, strict=True)
        ]
        return np.asarray(resample_poly(samples, RATE // 50, self._rate // 50)), units


def flite(text: str, voice: str = "slt") -> tuple[Floats, Units]:
    """Samples at 16 kHz and flite's phones."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-t", text, "-o", file.name, "-psdur"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with wave.open(file.name) as sound:
            rate = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    if rate != RATE:
        raise ValueError(f"flite gave {rate} Hz")
    units: Units = []
    time = 0.0
    for pair in done.stdout.split():
        name, end = pair.rsplit(":", 1)
        units.append((name, time, float(end)))
        time = float(end)
    return samples.astype(np.float64) / 32768, units

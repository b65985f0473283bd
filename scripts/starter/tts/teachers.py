"""The voices that are imitated: espeak-ng with a softened voice, and flite's ``slt``.

espeak-ng is the very library inside piper-tts, on a private copy: its phoneme events are then the
very phonemes that Piper will send to the voice.
"""

import ctypes
import shutil
from pathlib import Path

import numpy as np
import piper
from scipy.signal import resample_poly

from scripts.starter.espeak import IPA, PHONEMES, Espeak
from scripts.starter.flite import say as speak_flite

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


class Teacher:
    """espeak-ng in one language; ``work`` gets the private copy."""

    def __init__(self, work: Path, language: str) -> None:
        origin = Path(piper.__file__).parent
        library, data = work / "libteacher.so", work / "espeak-ng-data"
        work.mkdir(parents=True, exist_ok=True)
        # A copy that was cut short must not count.
        if not library.exists():
            partial = work / "libteacher.so.partial"
            shutil.copy(origin / "espeakbridge.so", partial)
            partial.rename(library)
        if not data.exists():
            partial = work / "espeak-ng-data.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(origin / "espeak-ng-data", partial)
            partial.rename(data)
        (data / "voices" / "!v" / "starter").write_text(_VARIANT)
        self._espeak = Espeak(ctypes.PyDLL(str(library)), PHONEMES | IPA, data)
        self._espeak.set_prosody(160, 50, 50)
        self._espeak.take_voice(f"{language}+starter")

    def say(self, text: str) -> tuple[Floats, Units]:
        """Samples at 16 kHz and phonemes in IPA ("" for a pause)."""
        samples, names = self._espeak.say(text)
        rate, ends = self._espeak.rate, [at for _, at in names[1:]] + [len(samples)]
        units = [
            (name.decode("utf8", "ignore"), start / rate, end / rate)
            for (name, start), end in zip(names, ends, strict=True)
        ]
        return np.asarray(resample_poly(samples / 32768, RATE // 50, rate // 50)), units


def flite(text: str, voice: str = "slt") -> tuple[Floats, Units]:
    """Samples at 16 kHz and flite's phones."""
    samples, rate, units = speak_flite(text, voice)
    if rate != RATE:
        raise ValueError(f"flite gave {rate} Hz")
    return samples.astype(np.float64) / 32768, units

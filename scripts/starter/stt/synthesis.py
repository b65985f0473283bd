"""Speech from text: espeak-ng (in process), flite (program) and Piper voices."""

import ctypes
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from scripts.starter.espeak import PHONEMES, Espeak
from scripts.starter.flite import say as speak_flite

RATE = 16000
_LIBRARY = "libespeak-ng.so.1"
Samples = npt.NDArray[np.int16]
# (start in seconds, espeak's phoneme name)
Phonemes = list[tuple[float, str]]
# flite's phones: one name for a sound of both, or the recogniser learns two.
_ESPEAK_NAMES = dict(
    pair.split("=")
    for pair in (
        "aa=0 ae=a ah=V ao=O: aw=aU ax=@ ay=aI b=b ch=tS d=d dh=D eh=E er=3 ey=eI f=f g=g hh=h "
        "ih=I iy=i: jh=dZ k=k l=l m=m n=n ng=N ow=oU oy=OI p=p pau=_ r=r s=s sh=S t=t th=T uh=U "
        "uw=u: v=v w=w y=j z=z zh=Z"
    ).split()
)


@dataclass(frozen=True)
class Utterance:
    """A spoken sentence: mono samples at 16 kHz, and phoneme times where the engine tells them."""

    samples: Samples
    phonemes: Phonemes | None


def require_programs(*, espeak: bool = True) -> None:
    """Make sure, before hours of work, that the teachers are there.

    Raises:
        RuntimeError: one is not; says what to install.
    """
    missing = [] if shutil.which("flite") else ["flite"]
    if espeak:
        try:
            ctypes.CDLL(_LIBRARY)
        except OSError:
            missing.append("espeak-ng's library")
    if missing:
        raise RuntimeError(
            f"{' and '.join(missing)} not found; apt-get install espeak-ng libespeak-ng1 flite"
        )


class Speaker:
    """espeak-ng in any of its voices."""

    def __init__(self) -> None:
        self._espeak = Espeak(ctypes.CDLL(_LIBRARY), PHONEMES)
        self._voice = ""

    def say(self, text: str, voice: str, speed: int, pitch: int, pitch_range: int) -> Utterance:
        """``voice`` is "language+variant", ``speed`` words a minute, pitches 0..100."""
        if voice != self._voice:
            self._espeak.take_voice(voice)
            self._voice = voice
        self._espeak.set_prosody(speed, pitch, pitch_range)
        samples, names = self._espeak.say(text)
        rate = self._espeak.rate
        return _finish(samples, rate, [(at / rate, name.decode("latin1")) for name, at in names])


def flite(text: str, voice: str) -> Utterance:
    """flite in one of its voices; its phonemes have the names of espeak-ng's American English."""
    samples, rate, phones = speak_flite(text, voice)
    return _finish(samples, rate, [(start, _ESPEAK_NAMES[name]) for name, start, _ in phones])


class Piper:
    """The project's own voices: what its demonstration calls sound like."""

    def __init__(self, voices: Path) -> None:
        self._voices = voices
        self._loaded: dict[str, Any] = {}

    def say(self, text: str, voice: str, slowness: float) -> Utterance:
        """``slowness`` multiplies the voice's own length scale."""
        import onnxruntime
        from piper import PiperVoice, SynthesisConfig

        if voice not in self._loaded:
            path = self._voices / f"{voice}.onnx"
            self._loaded[voice] = PiperVoice.load(path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._loaded[voice].session = onnxruntime.InferenceSession(path, options)
        model = self._loaded[voice]
        scale = model.config.length_scale * slowness
        config = SynthesisConfig(length_scale=scale, normalize_audio=False)
        chunks = [chunk.audio_int16_array for chunk in model.synthesize(text, config)]
        samples = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
        return _finish(samples, model.config.sample_rate, None)


def _finish(samples: Samples, rate: int, phonemes: Phonemes | None) -> Utterance:
    """Bring to 16 kHz and cut the silence at both ends down to 30 ms."""
    if rate != RATE and len(samples):
        floats = soxr.resample(samples.astype(np.float32), rate, RATE)
        samples = floats.clip(-32768, 32767).astype(np.int16)
    level = np.abs(samples.astype(np.int32))
    loud = np.nonzero(level > max(level.max(initial=0) * 0.01, 1))[0]
    if not len(loud):
        return Utterance(samples[:0], None)
    first = max(int(loud[0]) - 480, 0)
    cut = samples[first : int(loud[-1]) + 480]
    if phonemes is None:
        return Utterance(cut, None)
    return Utterance(cut, [(round(start - first / RATE, 3), name) for start, name in phonemes])

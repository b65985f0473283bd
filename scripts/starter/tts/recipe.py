"""The whole way to the voices: teachers' speech, training, calibration, export, a check."""

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.starter.corpus import DemoFacts
from scripts.starter.corpus.template import expand, replies
from scripts.starter.stt.synthesis import require_programs

_SENTENCES = 2500


@dataclass(frozen=True)
class Recipe:
    """``tiny`` tries the chain. The network is so small that only the CPU is supported."""

    out: Path
    minutes: float
    tiny: bool = False

    def require_what_fits(self) -> None:
        """Tells what is missing before time is spent."""
        require_programs(espeak=False)  # espeak-ng comes with piper-tts

    def run(self) -> Path:
        """Gives the folder of the voices."""
        from .calibrate import harmonic_gain
        from .dataset import SOURCES, load_source, make_source
        from .export import STYLES, export
        from .train import Plan, train

        self.require_what_fits()
        work, voices = self.out / "work", self.out / "voices"
        for number, source in enumerate(SOURCES):
            count = 60 if self.tiny else int(_SENTENCES * source.share)
            make_source(source, work, count, 7 + number)
        checkpoint = train(Plan(work, self.minutes))
        gains = {
            source.name: harmonic_gain(load_source(source, work), 3 if self.tiny else 12)
            for source in SOURCES
        }
        espeak = (gains["ru_espeak"] + gains["ar_espeak"]) / 2
        for style in STYLES:
            share = {"en": 1.0, "en_espeak": 0.0}.get(style.name, style.borrowed)
            gain = share * gains["en_slt"] + (1 - share) * espeak
            export(checkpoint, style, gain.astype(np.float32), voices)
        return voices


def _lines(lang: str) -> list[str]:
    """What the assistant says to a caller of the clinic, without slots that depend on the call."""
    block = DemoFacts().by[lang]
    slots = {"biz": block.business, "open": block.open, "address": block.address}
    slots |= {"svc": block.services[0].listed, "price": block.prices[0]}
    kinds = ("greet", "hours", "address", "price", "ask_name", "out", "bye")

    return [expand(replies(lang)[kind], random.Random(0), slots) for kind in kinds]


def check(voices: Path) -> None:
    """Print, for each voice: seconds of speech per second of computing, level, silence, peaks."""
    from piper import PiperVoice, SynthesisConfig

    for path in sorted(voices.glob("*.onnx")):
        voice = PiperVoice.load(path)
        config = SynthesisConfig(normalize_audio=False)
        lang = path.stem[:2]
        waves: list[Any] = []
        list(voice.synthesize(_lines(lang)[0], config))  # the first call is slower
        started = time.perf_counter()
        for line in _lines(lang):
            waves += [chunk.audio_float_array for chunk in voice.synthesize(line, config)]
        spent = time.perf_counter() - started
        wave = np.concatenate(waves)
        row = {
            "voice": path.stem,
            "seconds": round(len(wave) / voice.config.sample_rate, 1),
            "times real time": round(len(wave) / voice.config.sample_rate / spent, 1),
            "level, dBFS": round(float(20 * np.log10(np.sqrt(np.mean(wave**2)) + 1e-9)), 1),
            "peak": round(float(np.abs(wave).max()), 3),
            "finite": bool(np.isfinite(wave).all()),
            "size, MB": round(path.stat().st_size / 1e6, 2),
        }
        print(json.dumps(row), flush=True)

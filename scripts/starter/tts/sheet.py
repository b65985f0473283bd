"""A picture of the voices: spectrograms of a statement and a question in every voice."""

import random
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from piper import PiperVoice, SynthesisConfig

from scripts.starter.corpus import DemoFacts
from scripts.starter.corpus.template import expand, replies

_KINDS = ("hours", "ask_name")


def draw_sheet(voices: Path, out: Path) -> None:
    """Write ``out`` (an image): seconds against Hz, one row for each voice of the folder."""
    matplotlib.use("Agg")
    paths = sorted(voices.glob("*.onnx"))
    figure, rows = pyplot.subplots(
        len(paths), 2, figsize=(13, 1.7 * len(paths)), width_ratios=(4, 1.6), squeeze=False
    )
    for axes, path in zip(rows, paths, strict=True):
        voice, lang = PiperVoice.load(path), path.stem[:2]
        slots = {"open": DemoFacts().by[lang].open}
        for axis, kind in zip(axes, _KINDS, strict=True):
            text = expand(replies(lang)[kind], random.Random(0), slots)
            chunks = voice.synthesize(text, SynthesisConfig(normalize_audio=False))
            wave = np.concatenate([chunk.audio_float_array for chunk in chunks])
            # Just audible noise, because the voices' pauses are digital silence.
            heard = wave / np.abs(wave).max() + 1e-4 * np.random.default_rng(0).normal(
                size=len(wave)
            )
            axis.specgram(
                heard, 512, voice.config.sample_rate, noverlap=432, cmap="Greys", vmin=-115
            )
            axis.set_title(f"{path.stem}: {kind}", fontsize=8, loc="left")
            axis.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(out, dpi=75)

"""Sets of spoken sentences on disk.

A set is ``NAME.bin`` (mono int16 at 16 kHz, utterances back to back) and ``NAME.jsonl`` (one line
an utterance: offset and length in samples, language, text, engine, voice, phoneme times). The
``.jsonl`` appears when the set is complete, so a running training can pick sets up.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .synthesis import (
    RATE,
    Phonemes,
    Piper,
    Samples,
    Speaker,
    Utterance,
    flite,
    require_programs,
)
from .text import Sentence, Sentences, Source
from .vocabulary import MAX_SECONDS

_ACCENTS = ["en-us"] * 4 + ["gmw/en"] * 3
_ACCENTS += ["en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-us-nyc", "en-029"]
_TEST_ACCENTS = ["en-us", "gmw/en", "en-gb-x-gbclan"]  # gbclan is never trained on
_COMMON = "m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f4".split()
_VARIANTS = (
    _COMMON
    + _COMMON
    + (
        "Alex Andrea Annie Denis Michael Mike rob john linda max paul steph travis victor anika "
        "Jacky Lee ed marcelo belinda Alicia david shelby edward"
    ).split()
)
_TEST_VARIANTS = "m7 f5 Andy Gene".split()  # never trained on
_FLITE, _TEST_FLITE = ["slt", "rms", "kal16"], ["awb", "slt", "rms"]  # awb is never trained on
PIPER_VOICES = {"en": ["en", "en_espeak"], "ar": ["ar"], "ru": ["ru"]}


@dataclass(frozen=True)
class Row:
    """One utterance of a set; ``offset`` and ``length`` in samples."""

    offset: int
    length: int
    lang: str
    text: str
    engine: str
    voice: str
    phonemes: Phonemes | None
    free: bool = False  # see ``text.Sentence``


@dataclass(frozen=True)
class Sizes:
    """How many utterances to make: per language with espeak-ng, and with the other engines."""

    espeak: int = 6000
    flite: int = 4000
    piper: int = 1000  # for each voice


@dataclass(frozen=True)
class _Job:
    engine: str
    lang: str
    voice: str
    said: Sentence
    manner: tuple[float, ...]


def _jobs(sizes: Sizes, rng: random.Random, test: bool, only: Source | None) -> Iterator[_Job]:
    sentences = Sentences(rng, [(only, 1.0)] if only else None, training=not test)
    for lang in ("en", "ru", "ar"):
        for said in sentences.draw(lang, sizes.espeak, test):
            base = rng.choice(_TEST_ACCENTS if test else _ACCENTS) if lang == "en" else lang
            variant = rng.choice(_TEST_VARIANTS if test else _VARIANTS)
            manner = (rng.randint(130, 190), rng.randint(30, 70), rng.randint(30, 70))
            yield _Job("espeak", lang, f"{base}+{variant}", said, manner)
    for said in sentences.draw("en", sizes.flite, test):
        yield _Job("flite", "en", rng.choice(_TEST_FLITE if test else _FLITE), said, ())
    for lang, voices in PIPER_VOICES.items():
        for voice in voices:
            for said in sentences.draw(lang, sizes.piper, test):
                yield _Job("piper", lang, voice, said, (rng.uniform(0.85, 1.2),))


def make_set(
    out: Path,
    sizes: Sizes,
    seed: int,
    voices: Path | None,
    *,
    test: bool = False,
    only: Source | None = None,
) -> tuple[int, float]:
    """Synthesise one set; ``test`` takes only held-out sentences and test voices, and none of the
    wide ones, so that its scores stay comparable. ``only`` replaces the mixture of texts.

    ``voices`` is the folder of the Piper voices, None for no such utterances. Gives the number of
    utterances and hours of audio.
    """
    require_programs()
    rng = random.Random(seed)
    if voices is None:
        sizes = Sizes(sizes.espeak, sizes.flite, 0)
    espeak, piper = Speaker(), Piper(voices or Path())

    def speak(job: _Job) -> Utterance:
        if job.engine == "espeak":
            speed, pitch, pitch_range = (int(value) for value in job.manner)
            return espeak.say(job.said.text, job.voice, speed, pitch, pitch_range)
        if job.engine == "piper":
            return piper.say(job.said.text, job.voice, job.manner[0])
        return flite(job.said.text, job.voice)

    # Sorted, because changing espeak's voice is slow.
    jobs = sorted(_jobs(sizes, rng, test, only), key=lambda job: (job.engine, job.lang, job.voice))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    offset = count = 0
    with out.with_suffix(".bin").open("wb") as audio, partial.open("w", encoding="utf-8") as index:
        for job in jobs:
            utterance = speak(job)
            length = len(utterance.samples)
            if not RATE // 5 <= length <= MAX_SECONDS * RATE:
                continue
            audio.write(utterance.samples.tobytes())
            row = Row(
                offset,
                length,
                job.lang,
                job.said.text,
                job.engine,
                job.voice,
                utterance.phonemes,
                job.said.free,
            )
            index.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            offset, count = offset + length, count + 1
    partial.rename(out.with_suffix(".jsonl"))
    return count, offset / RATE / 3600


class SpeechSet:
    """A finished set, memory mapped."""

    def __init__(self, path: Path) -> None:
        self._audio = np.memmap(path.with_suffix(".bin"), np.int16, mode="r")
        lines = path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
        self.rows = [Row(**json.loads(line)) for line in lines]

    def samples(self, row: Row) -> Samples:
        """Samples of an utterance, int16 at 16 kHz."""
        return self._audio[row.offset : row.offset + row.length]


def finished_sets(folder: Path, prefix: str = "train") -> list[Path]:
    """The complete sets of a folder, without suffix."""
    return sorted(path.with_suffix("") for path in folder.glob(f"{prefix}*.jsonl"))

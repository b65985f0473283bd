"""Training material: Piper phonemes, their lengths, and the teacher's speech as vocoder frames."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
from piper.phonemize_espeak import EspeakPhonemizer

from scripts.starter.flite import PAUSE
from scripts.starter.stt.text import Sentences

from .alignment import align_espeak, align_flite
from .analysis import analyse
from .teachers import Teacher, Units, flite
from .vocoder import RATE, Floats

LEAD, TAIL = 0.03, 0.12  # seconds of silence that the first and the last id stand for
_VOICES = {"en": "en-us", "ru": "ru", "ar": "ar"}
_LOUDNESS = 0.1  # median level that a set is brought to


@dataclass(frozen=True)
class Source:
    """A language spoken by a teacher; ``condition`` is its row in the model's tables."""

    name: str
    lang: str
    teacher: str
    condition: int
    share: float


SOURCES = [
    Source("en_slt", "en", "flite", 0, 1.0),
    Source("en_espeak", "en", "espeak", 1, 0.4),  # the bridge between the teachers
    Source("ru_espeak", "ru", "espeak", 3, 1.0),
    Source("ar_espeak", "ar", "espeak", 5, 1.4),
]


@dataclass(frozen=True)
class Sentence:
    """ids (N), seconds (N), frames (F, WIDTH), voiced (F)."""

    condition: int
    ids: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float32]
    frames: npt.NDArray[np.float16]
    voiced: npt.NDArray[np.float32]


class _Phonemizer:
    """Text -> exactly the phonemes that Piper makes of it."""

    def __init__(self, lang: str) -> None:
        self._voice, self._espeak = _VOICES[lang], EspeakPhonemizer()
        self._vowels: Any = None
        if lang == "ar":
            from piper.tashkeel import TashkeelDiacritizer

            self._vowels = TashkeelDiacritizer()

    def __call__(self, text: str) -> tuple[str, list[str]] | None:
        """(text as the teacher has to read it, phonemes), None unless it is one sentence."""
        if self._vowels is not None:
            text = self._vowels(text, taskeen_threshold=0.8)
        found = self._espeak.phonemize(self._voice, text)
        if len(found) != 1 or len(found[0]) < 3:
            return None
        return text, [phoneme for phoneme in found[0] if phoneme in DEFAULT_PHONEME_ID_MAP]


def _trim_espeak(units: Units, seconds: Floats, length: float) -> tuple[float, float]:
    """Speech from and to; pauses at the end are taken off the phonemes they were counted to."""
    end = length
    while units and not units[-1][0]:
        _, end, last = units[-1]
        units = units[:-1]
        pause = last - end
        holder = np.flatnonzero(seconds >= pause - 1e-6)
        if len(holder):
            seconds[holder[-1]] -= pause
    return units[0][1] if units else 0.0, end


def _spoken(
    source: Source, espeak: Teacher | None, text: str, phonemes: list[str]
) -> tuple[Floats, Floats] | None:
    """(speech with exactly LEAD and TAIL around it, seconds per id)."""
    if espeak is not None:
        wave, units = espeak.say(text)
        seconds = align_espeak(phonemes, units)
        if seconds is None or not units:
            return None
        start, end = _trim_espeak(units, seconds, len(wave) / RATE)
    else:
        wave, units = flite(text)
        start = units[0][2] if units[0][0] == PAUSE else 0.0
        end = units[-1][1] if units[-1][0] == PAUSE else units[-1][2]
        inner = [unit for unit in units if start <= unit[1] and unit[2] <= end]
        seconds = align_flite(phonemes, inner) if inner else None
        if seconds is None:
            return None
    if not 0.25 < end - start < 14:
        return None
    first, last = int((start - LEAD) * RATE), int((end + TAIL) * RATE)
    before = max(0, -first)
    padded = np.pad(wave, (before, max(0, last - len(wave))))
    cut = padded[max(0, first) : before + last].copy()
    half = int(LEAD * RATE) // 2
    cut[:half] = 0
    cut[half : 2 * half] *= np.linspace(0, 1, half)
    fade = TAIL / 2
    size = int(fade * RATE)
    cut[-size:] = 0
    cut[-2 * size : -size] *= np.linspace(1, 0, size)
    return cut, np.concatenate([[LEAD], seconds, [TAIL]])


def make_source(source: Source, work: Path, count: int, seed: int) -> Path:
    """Speak, align and analyse ``count`` sentences, once; gives the file."""
    path = work / f"{source.name}.npz"
    if path.exists():
        return path
    work.mkdir(parents=True, exist_ok=True)
    phonemizer = _Phonemizer(source.lang)
    espeak = None
    if source.teacher == "espeak":
        espeak = Teacher(work, _VOICES[source.lang])
    waves: list[Floats] = []
    ids: list[list[int]] = []
    seconds: list[Floats] = []
    number = {phoneme: found[0] for phoneme, found in DEFAULT_PHONEME_ID_MAP.items()}
    for line in Sentences(random.Random(seed)).draw(source.lang, count, repeats=1):
        found = phonemizer(line.text)
        if found is None or re.search(r"\d", line.text):
            continue
        text, phonemes = found
        spoken = _spoken(source, espeak, text, phonemes)
        if spoken is None:
            continue
        waves.append(spoken[0])
        seconds.append(spoken[1])
        ids.append([number["^"], *(number[phoneme] for phoneme in phonemes), number["$"]])
    levels = [np.sqrt((w**2).sum() / max(1, (np.abs(w) > 0.01).sum())) for w in waves]
    gain = _LOUDNESS / float(np.median(levels))
    analysed = [analyse(wave * gain, 7 if espeak else 3) for wave in waves]
    partial = work / f"{source.name}.partial.npz"
    np.savez(
        partial,
        n=np.array([len(row) for row in ids]),
        ids=np.concatenate([np.array(row) for row in ids]),
        seconds=np.concatenate(seconds).astype(np.float32),
        f=np.array([len(frames) for frames, _ in analysed]),
        frames=np.concatenate([frames for frames, _ in analysed]).astype(np.float16),
        voiced=np.concatenate([voiced for _, voiced in analysed]).astype(np.float32),
    )
    partial.rename(path)  # one that was cut short must not count
    total = sum(len(wave) for wave in waves) / RATE / 3600
    print(f"{source.name}: {len(waves)} of {count} sentences, {total:.2f} h", flush=True)
    return path


def load_source(source: Source, work: Path) -> list[Sentence]:
    """The sentences of a source."""
    with np.load(work / f"{source.name}.npz") as file:
        data = {name: file[name] for name in file.files}
    at_ids = np.r_[0, np.cumsum(data["n"])]
    at_frames = np.r_[0, np.cumsum(data["f"])]
    found = []
    for i in range(len(data["n"])):
        ids = slice(at_ids[i], at_ids[i + 1])
        frames = slice(at_frames[i], at_frames[i + 1])
        found.append(
            Sentence(
                source.condition,
                data["ids"][ids],
                data["seconds"][ids],
                data["frames"][frames],
                data["voiced"][frames],
            )
        )
    return found

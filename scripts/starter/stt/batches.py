"""Training batches for the recogniser, made in a process of their own."""

import json
import queue
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .augment import Noise, augment, no_speech
from .dataset import Row, SpeechSet, finished_sets
from .features import RATE, Mel, Wave, log_mel
from .model import CHARACTERS
from .vocabulary import MAX_SECONDS, Vocabulary

_CHARACTER = {character: i + 1 for i, character in enumerate(CHARACTERS)}
# English is heard most: its spelling tells least about its sound.
_LANGS = {"en": 0.46, "ru": 0.28, "ar": 0.26}
IGNORED = -100
_OWN_VOICES = 0.4  # share of utterances by the project's own voices, where there are any


@dataclass(frozen=True)
class Options:
    """Shares of special items and windows. ``frames`` bounds a batch, in frames of 10 ms.

    ``ramp`` starts with short, lightly augmented utterances: needed from scratch only.
    """

    frames: int = 4800
    chunk: int = 350
    reuse: int = 2
    no_speech: float = 0.03
    timestamps: float = 0.06
    mask: float = 0.3
    middle_window: float = 0.05
    full_window: float = 0.04
    ramp: bool = False


@dataclass(frozen=True)
class Item:
    """One training example; times are encoder frames of 20 ms."""

    mel: Mel
    tokens: list[int]
    targets: list[int]
    characters: list[int]
    phonemes: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Padded tensors: mel (B, 80, T) float16; tokens, targets (B, U) int64; characters (sum of
    lengths) and their lengths (B); phonemes (B, T / 2) int64; positions (B, U) float32, the rough
    encoder frame of each token, -1 where it has none. Targets and phonemes are -100 where unknown.
    """

    mel: torch.Tensor
    tokens: torch.Tensor
    targets: torch.Tensor
    characters: torch.Tensor
    lengths: torch.Tensor
    phonemes: torch.Tensor
    positions: torch.Tensor


def swapped(
    tokens: torch.Tensor, positions: torch.Tensor, rng: np.random.Generator, share: float = 0.1
) -> torch.Tensor:
    """The tokens (B, U) that a decoder is shown; in half of the utterances twice the ``share`` of
    those of the text are others of the batch. It must find its way back by listening, or it goes on
    by heart after its first mistake.
    """
    text = torch.zeros_like(tokens, dtype=torch.bool)
    text[:, 1:] = (positions[:, :-1] >= 0) & (positions[:, 1:] >= 0)
    wrong = text & torch.from_numpy(
        (rng.random(text.shape) < 2 * share) & (rng.random((len(text), 1)) < 0.5)
    )
    shown = tokens.clone()
    if wrong.any():
        shown[wrong] = torch.from_numpy(rng.choice(tokens[text].numpy(), int(wrong.sum())))
    return shown


def character_ids(text: str) -> list[int]:
    """CTC labels of a text (0 is the blank)."""
    plain = "".join(c if c in _CHARACTER else " " for c in text.lower())
    return [_CHARACTER[c] for c in " ".join(plain.split())]


def phoneme_inventory(rows: list[Row]) -> dict[str, int]:
    """espeak-ng's phoneme names, most frequent first, numbered from 1 (0 is silence)."""
    counts: dict[str, int] = {}
    for row in rows:
        for _, name in row.phonemes or ():
            if not name.startswith("_"):
                counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: i + 1 for i, name in enumerate(ordered)}


@dataclass(frozen=True)
class _Spoken:
    """An utterance of a set, and the tokens that spell it."""

    found: SpeechSet
    row: Row
    tokens: tuple[int, ...]


class Maker:
    """Turns sets of utterances into batches. ``inventory`` holds pieces.json and phones.json."""

    def __init__(self, data: Path, inventory: Path, seed: int, options: Options) -> None:
        self.data, self.options = data, options
        self.rng = np.random.default_rng(seed)
        self.vocabulary = Vocabulary.load(inventory / "pieces.json")
        self.phones: dict[str, int] = json.loads((inventory / "phones.json").read_text())
        self._sets: dict[Path, SpeechSet] = {}
        self._own: dict[str, list[_Spoken]] = {lang: [] for lang in _LANGS}
        self._other: dict[str, list[_Spoken]] = {lang: [] for lang in _LANGS}
        self._counts: Counter[int] = Counter()
        self.look_for_data()
        self._noise = Noise(self.rng, self._babble())

    def look_for_data(self) -> None:
        """Take in sets that were finished meanwhile."""
        for path in finished_sets(self.data):
            if path in self._sets:
                continue
            found = self._sets[path] = SpeechSet(path)
            for row in found.rows:
                tokens = self.vocabulary.encode(row.text)
                if tokens and character_ids(row.text):
                    pools = self._own if row.engine == "piper" else self._other
                    pools[row.lang].append(_Spoken(found, row, tuple(set(tokens))))
                    self._counts.update(tokens)

    def _babble(self) -> Wave:
        babble = np.zeros(RATE * 40, np.float32)
        for _ in range(120):
            spoken = self._any_row()
            wave = spoken.found.samples(spoken.row).astype(np.float32)[: RATE * 4]
            start = self.rng.integers(len(babble) - len(wave))
            babble[start : start + len(wave)] += wave / (np.abs(wave).max() + 1)
        return babble

    def _any_lang(self) -> str:
        return str(self.rng.choice(list(_LANGS), p=list(_LANGS.values())))

    def _any_row(self) -> _Spoken:
        """Half of the time, of two utterances the one with the rarest token. A third of the tokens
        is heard less than once in a thousand utterances, and would be learned too slowly; but
        drawn so every time, telephone numbers, which have no rare ones, would be heard a third as
        often as the sets hold them.
        """
        lang = self._any_lang()
        own = self._own[lang] and self.rng.random() < _OWN_VOICES
        pool = self._own[lang] if own else self._other[lang]
        drawn = [pool[at] for at in self.rng.integers(len(pool), size=self.rng.choice((1, 2)))]
        return min(drawn, key=lambda spoken: min(self._counts[token] for token in spoken.tokens))

    def batches(self, progress: Any) -> Iterator[Batch]:
        """Endless batches; ``progress.value`` is the share of the training that is done."""
        recent: list[list[Item]] = []
        while True:
            self.look_for_data()
            done = float(progress.value) if self.options.ramp else 1.0
            longest = 2.2 if done < 0.07 else 4.0 if done < 0.15 else MAX_SECONDS
            strength = 0.5 if done < 0.1 else 0.8 if done < 0.3 else 1.0
            # Making an item costs more than reading it: each is used again, among other items.
            recent = [*recent, self._chunk(longest, strength)][-self.options.reuse :]
            items = sorted(sum(recent, []), key=lambda item: item.mel.shape[1])
            groups = list(self._groups(items))
            for at in self.rng.permutation(len(groups)):
                yield self._collate(groups[at], done)

    def _chunk(self, longest: float, strength: float) -> list[Item]:
        items = []
        for _ in range(self.options.chunk):
            if self.rng.random() < self.options.no_speech:
                items.append(self._silent_item())
                continue
            spoken = self._any_row()
            if spoken.row.length <= longest * RATE:
                items.append(self._item(spoken.found, spoken.row, strength))
        return items

    def _silent_item(self) -> Item:
        special = self.vocabulary.special
        mel = log_mel(no_speech(self.rng, self._noise))
        lang = special(self._any_lang())
        tokens = [special("startoftranscript"), lang, special("transcribe")]
        targets = [special("nospeech"), IGNORED, IGNORED, special("endoftext")]
        frames = np.zeros((mel.shape[1] + 1) // 2, np.int64)
        nowhere = np.full(4, -1, np.float32)
        return Item(mel, [*tokens, special("notimestamps")], targets, [], frames, nowhere)

    def _item(self, found: SpeechSet, row: Row, strength: float) -> Item:
        special = self.vocabulary.special
        wave, start, end = augment(found.samples(row), self.rng, self._noise, strength)
        text = self.vocabulary.encode(row.text) or []
        lang, transcribe = special(row.lang), special("transcribe")
        head = [special("startoftranscript"), lang, transcribe]
        if self.rng.random() < self.options.timestamps:
            timestamp = self.vocabulary.timestamp
            tokens = [*head, timestamp(start), *text, timestamp(end)]
            targets = [*tokens[1:], special("endoftext")]
        else:
            tokens = [*head, special("notimestamps"), *text]
            targets = [lang, transcribe, IGNORED, *text, special("endoftext")]
        mel = log_mel(wave)
        return Item(
            mel,
            tokens,
            targets,
            character_ids(row.text),
            self._phoneme_frames(row, start, end, mel.shape[1]),
            self._token_frames(row, start, end, text, len(tokens)),
        )

    def _phoneme_frames(
        self, row: Row, start: float, end: float, frames: int
    ) -> npt.NDArray[np.int64]:
        count = (frames + 1) // 2
        if row.phonemes is None:
            return np.full(count, IGNORED, np.int64)
        stretch = (end - start) / (row.length / RATE)
        starts = np.array([start + max(time, 0) * stretch for time, _ in row.phonemes] + [end])
        names = np.array([self.phones.get(name, 0) for _, name in row.phonemes])
        centres = (np.arange(count) * 2 + 0.5) * 0.01
        which = np.searchsorted(starts, centres, side="right") - 1
        inside = (which >= 0) & (which < len(names))
        labels = np.zeros(count, np.int64)
        labels[inside] = names[which[inside]]
        return labels

    def _token_frames(
        self, row: Row, start: float, end: float, text: list[int], count: int
    ) -> npt.NDArray[np.float32]:
        """By the token's share of the spelling, along the phonemes where they are known."""
        sizes = np.array([self.vocabulary.byte_length[token] for token in text], float)
        share = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        seconds = start + share * (end - start)
        if row.phonemes:
            stretch = (end - start) / (row.length / RATE)
            spoken = [start + max(t, 0) * stretch for t, name in row.phonemes if name[0] != "_"]
            grid = np.array([*spoken, end])
            seconds = np.interp(share * (len(grid) - 1), np.arange(len(grid)), grid)
        frames = np.full(count, -1, np.float32)
        frames[3 : 3 + len(text)] = seconds * 50
        frames[3 + len(text)] = end * 50
        return frames

    def _groups(self, items: list[Item]) -> Iterator[list[Item]]:
        """Items of similar length, as many as fit into a batch."""
        group: list[Item] = []
        for item in items:
            if group and (len(group) + 1) * (item.mel.shape[1] + 60) > self.options.frames:
                yield group
                group = []
            group.append(item)
        yield group

    def _collate(self, items: list[Item], done: float) -> Batch:
        """Mostly short windows (speech and 0.3-0.75 s), some longer, a few the full 30 s."""
        rng, options = self.rng, self.options
        frames = max(item.mel.shape[1] for item in items)
        kind, limit = rng.random(), len(items)
        if kind < options.full_window and done > 0.35:
            frames, limit = 3000, max(2, options.frames // 3000 * 2)
        elif kind < options.full_window + options.middle_window:
            frames += int(rng.integers(120, 900))
            limit = max(3, options.frames * 3 // 2 // frames)
        else:
            frames += int(rng.integers(30, 75))
        items = [items[at] for at in rng.permutation(len(items))[:limit]]
        frames += frames % 2
        count, width = len(items), max(len(item.tokens) for item in items)
        mel = np.zeros((count, 80, frames), np.float16)
        tokens = np.full((count, width), self.vocabulary.special("endoftext"), np.int64)
        targets = np.full((count, width), IGNORED, np.int64)
        phonemes = np.zeros((count, frames // 2), np.int64)
        positions = np.full((count, width), -1, np.float32)
        for at, item in enumerate(items):
            heard = item.mel
            if rng.random() < options.mask and done > 0.3:
                heard = self._masked(heard)
            mel[at, :, : heard.shape[1]] = heard
            tokens[at, : len(item.tokens)] = item.tokens
            targets[at, : len(item.targets)] = item.targets
            known = len(item.phonemes)
            phonemes[at, :known] = item.phonemes
            phonemes[at, known + 15 :] = IGNORED  # a little padding is enough silence to learn from
            positions[at, : len(item.positions)] = item.positions
        characters = [c for item in items for c in item.characters]
        return Batch(
            torch.from_numpy(mel),
            torch.from_numpy(tokens),
            torch.from_numpy(targets),
            torch.tensor(characters, dtype=torch.long),
            torch.tensor([len(item.characters) for item in items]),
            torch.from_numpy(phonemes),
            torch.from_numpy(positions),
        )

    def _masked(self, mel: Mel) -> Mel:
        """A light SpecAugment."""
        masked, rng = mel.copy(), self.rng
        low = rng.integers(0, 70)
        masked[low : low + rng.integers(1, 11)] = 0
        for _ in range(2):
            start = rng.integers(0, max(masked.shape[1] - 12, 1))
            masked[:, start : start + rng.integers(1, 12)] = 0
        return masked


def produce(
    out: Any, stop: Event, progress: Any, data: Path, inventory: Path, seed: int, options: Options
) -> None:
    """Body of the producing process: fill ``out`` until ``stop`` is set or the trainer gone."""
    torch.set_num_threads(1)
    trainer = parent_process()
    with suppress(KeyboardInterrupt):  # the trainer gets it too, and tells of it
        for batch in Maker(data, inventory, seed, options).batches(progress):
            while not stop.is_set():
                try:
                    out.put(batch, timeout=2)
                    break
                except queue.Full:
                    if trainer is not None and not trainer.is_alive():
                        return
            if stop.is_set():
                return

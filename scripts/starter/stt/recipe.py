"""The whole way to a recogniser: speech, training, export, scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import Sizes, SpeechSet, make_set
from .text import Source, further, phone, unseen, wide

if TYPE_CHECKING:
    from scripts.starter.together import Training

VOICES = Path(__file__).parents[3] / "models" / "starter" / "tts"
TINY = Sizes(espeak=60, flite=20, piper=10)
# Sets of test speech: sizes, seed, and what is said instead of the usual mixture.
_TESTS: dict[str, tuple[Sizes, int, Source | None]] = {
    "test": (Sizes(espeak=150, flite=120, piper=60), 99, None),
    "phones": (Sizes(espeak=30, flite=0, piper=15), 98, phone),
    "unseen": (Sizes(espeak=38, flite=38, piper=38), 97, unseen),
    "wide": (Sizes(espeak=60, flite=45, piper=30), 96, wide),
    "further": (Sizes(espeak=60, flite=45, piper=30), 95, further),
}


@dataclass(frozen=True)
class Recipe:
    """``sets`` sets of ``sizes`` are made once and kept in ``out/data``. Another ``draw`` gives
    other sentences; ``processes`` is explained in ``together.train_together``, ``keep`` in
    ``train.keep_of_start``. After ``minutes`` for the whole model, its decoder alone is trained for
    ``decoder_minutes``; without the former, that of ``init``. Each process hears ``heard``
    utterances for it.
    """

    out: Path
    minutes: float
    device: str = "cpu"
    init: Path | None = None
    sets: int = 5
    sizes: Sizes = Sizes()
    voices: Path | None = VOICES
    draw: int = 0
    decoder_minutes: float = 0.0
    heard: int = 60_000
    processes: int = 1
    keep: float = 0.0

    def make_speech(self) -> None:
        """Training sets that do not exist yet."""
        seed = 100 * (1 + self.draw)
        for number, path in self._missing_sets().items():
            count, hours = make_set(path, self.sizes, seed + number, self.voices)
            print(f"{path.name}: {count} utterances, {hours:.1f} h", flush=True)

    def _missing_sets(self) -> dict[int, Path]:
        paths = {n: self.out / "data" / f"train{n}" for n in range(1, self.sets + 1)}
        return {n: path for n, path in paths.items() if not path.with_suffix(".jsonl").exists()}

    def require_what_fits(self) -> None:
        """Tells mistakes before time is spent.

        Raises:
            ValueError: no time to train is given, or no start where one is needed, or something
                else in its place, or a training that goes on has other processes.
            RuntimeError: a program that makes speech is not there.
        """
        from scripts.starter.together import require_same_processes

        from .synthesis import require_programs
        from .train import require_start

        if not self.minutes + self.decoder_minutes:
            raise ValueError("nothing to do: expected minutes or decoder_minutes above 0")
        if self.init is None and self.keep:
            raise ValueError("keep is a share of a start, expected init too")
        if self.init is None and not self.minutes:
            raise ValueError("a decoder is trained alone behind a start, expected init too")
        for part, minutes in (("work", self.minutes), ("decoder", self.decoder_minutes)):
            if minutes:
                require_same_processes(self.out / part, self.processes)
        if self.init is not None:
            require_start(self.init)
        if self._missing_sets():
            require_programs()

    def run(self) -> Path:
        """Gives the folder of the model.

        Raises:
            ValueError, RuntimeError: see ``require_what_fits``.
        """
        from .export import export
        from .train import keep_of_start

        self.require_what_fits()
        self.make_speech()
        start = self.init
        if start is None or self.minutes:
            start = self._train_all()
        checkpoint = self._train_decoder(start) if self.decoder_minutes else start
        if self.init is not None and self.keep:
            checkpoint = keep_of_start(self.init, checkpoint, self.keep)
        export(checkpoint, checkpoint.parent, self.out / "model")
        return self.out / "model"

    def _train_decoder(self, start: Path) -> Path:
        from .decoder import DecoderPlan, train_decoder

        work, minutes = self.out / "decoder", self.decoder_minutes
        plan = DecoderPlan(work, minutes, start, self.device, self.draw, utterances=self.heard)
        return self._train(train_decoder, plan)

    def _train_all(self) -> Path:
        from .train import Plan, train

        plan = Plan(
            self.out / "work",
            self.minutes,
            self.init,
            self.device,
            self.draw,
            frames=Plan.frames if self.device == "cpu" else 48_000,
        )
        return self._train(train, plan)

    def _train(self, train: Callable[..., Path], plan: Training) -> Path:
        from scripts.starter.together import train_together

        from .train import prepare_inventory

        prepare_inventory(plan, self.out / "data")
        alone = partial(train, data=self.out / "data")
        if self.processes == 1:
            return alone(plan)
        return train_together(alone, plan, self.processes, ["pieces.json", "phones.json"])


def check(model: Path, data: Path, voices: Path | None = VOICES, limit: int = 1000) -> None:
    """Print the scores of an exported model; test speech is made in ``data`` when missing."""
    from .evaluate import ShortWindow, silence, windows, word_errors

    for name, (sizes, seed, only) in _TESTS.items():
        if not (data / f"{name}.jsonl").exists():
            make_set(data / name, sizes, seed, voices, test=True, only=only)
    ear = ShortWindow(model)
    rows = word_errors(ear, SpeechSet(data / "test"), limit)
    others = {
        "phones": "phone numbers",
        "unseen": "unseen wordings",
        "wide": "wide sentences",
        "further": "further wordings",
    }
    for name, title in others.items():
        for row in word_errors(ear, SpeechSet(data / name), limit, phones=name == "phones"):
            rows.append(row | {"set": f"{title}, {row['set']}"})
    rows.append(windows(ear, SpeechSet(data / "test")))
    for row in [*rows, *silence(ear)]:
        print(json.dumps(row, ensure_ascii=False), flush=True)

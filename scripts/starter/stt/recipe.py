"""The whole way to a recogniser: speech, training, export, scores."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .dataset import Sizes, SpeechSet, make_set
from .text import Source, phone, unseen, wide

VOICES = Path(__file__).parents[3] / "models" / "starter" / "tts"
TINY = Sizes(espeak=60, flite=20, piper=10)
# Sets of test speech: sizes, seed, and what is said instead of the usual mixture.
_TESTS: dict[str, tuple[Sizes, int, Source | None]] = {
    "test": (Sizes(espeak=150, flite=120, piper=60), 99, None),
    "phones": (Sizes(espeak=30, flite=0, piper=15), 98, phone),
    "unseen": (Sizes(espeak=38, flite=38, piper=38), 97, unseen),
    "wide": (Sizes(espeak=60, flite=45, piper=30), 96, wide),
}


@dataclass(frozen=True)
class Recipe:
    """``sets`` sets of ``sizes`` are made once and kept in ``out/data``. Another ``draw`` gives
    other sentences; ``decoder_only`` is explained in ``train.Plan``, ``processes`` in
    ``together.train_together``, ``keep`` in ``train.keep_of_start``.
    """

    out: Path
    minutes: float
    device: str = "cpu"
    init: Path | None = None
    sets: int = 5
    sizes: Sizes = Sizes()
    voices: Path | None = VOICES
    draw: int = 0
    decoder_only: float = 0.0
    processes: int = 1
    keep: float = 0.0

    def make_speech(self) -> None:
        """Training sets that do not exist yet."""
        seed = 100 * (1 + self.draw)
        for number in range(1, self.sets + 1):
            path = self.out / "data" / f"train{number}"
            if not path.with_suffix(".jsonl").exists():
                count, hours = make_set(path, self.sizes, seed + number, self.voices)
                print(f"{path.name}: {count} utterances, {hours:.1f} h", flush=True)

    def run(self) -> Path:
        """Gives the folder of the model."""
        from scripts.starter.together import require_same_processes, train_together

        from .export import export
        from .train import Plan, keep_of_start, prepare_inventory, train

        if self.keep and self.init is None:
            raise ValueError("keep is a share of a start, expected init too")
        require_same_processes(self.out / "work", self.processes)
        self.make_speech()
        work = self.out / "work"
        share = self.decoder_only
        plan = Plan(work, self.minutes, self.init, self.device, self.draw, decoder_only=share)
        data = self.out / "data"
        if self.processes > 1:
            prepare_inventory(plan, data)
            alone, inventory = partial(train, data=data), ["pieces.json", "phones.json"]
            checkpoint = train_together(alone, plan, self.processes, inventory)
        else:
            checkpoint = train(plan, data)
        if self.init is not None and self.keep:
            checkpoint = keep_of_start(plan, self.init, checkpoint, self.keep)
        export(checkpoint, work, self.out / "model")
        return self.out / "model"


def check(model: Path, data: Path, voices: Path | None = VOICES, limit: int = 1000) -> None:
    """Print the scores of an exported model; test speech is made in ``data`` when missing."""
    from .evaluate import ShortWindow, silence, windows, word_errors

    for name, (sizes, seed, only) in _TESTS.items():
        if not (data / f"{name}.jsonl").exists():
            make_set(data / name, sizes, seed, voices, test=True, only=only)
    ear = ShortWindow(model)
    rows = word_errors(ear, SpeechSet(data / "test"), limit)
    others = {"phones": "phone numbers", "unseen": "unseen wordings", "wide": "wide sentences"}
    for name, title in others.items():
        for row in word_errors(ear, SpeechSet(data / name), limit, phones=name == "phones"):
            rows.append(row | {"set": f"{title}, {row['set']}"})
    rows.append(windows(ear, SpeechSet(data / "test")))
    for row in [*rows, *silence(ear)]:
        print(json.dumps(row, ensure_ascii=False), flush=True)

"""The whole way to a chat model: tokenizer, training, export, scores."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .train import Plan


@dataclass(frozen=True)
class Recipe:
    """``confusions`` is a file of words that the recogniser misread, see stt/confusions.py.
    Another ``draw`` gives other calls; ``processes`` is explained in ``together.train_together``,
    ``layers`` in ``train.Plan``.
    """

    out: Path
    minutes: float
    device: str = "cpu"
    init: Path | None = None
    confusions: Path | None = None
    draw: int = 0
    processes: int = 1
    layers: int | None = None

    def require_what_fits(self) -> None:
        """Tells mistakes before time is spent.

        Raises:
            ValueError: the start, or a training that goes on, has other processes or layers, or a
                file is of another kind.
        """
        from scripts.starter.together import require_same_processes

        from .batches import load_confusions
        from .train import require_layers

        plan = self._plan()
        load_confusions(self.confusions)
        require_same_processes(plan.work, self.processes)
        require_layers(plan)

    def run(self) -> Path:
        """Gives the model file.

        Raises:
            ValueError: see ``require_what_fits``.
        """
        from scripts.starter.together import train_together

        from .export import export
        from .train import prepare_tokenizer, train

        self.require_what_fits()
        plan, model = self._plan(), self.out / "model.gguf"
        words = prepare_tokenizer(plan)
        several = self.processes > 1
        checkpoint = (
            train_together(train, plan, self.processes, [words.name]) if several else train(plan)
        )
        export(checkpoint, words, model)
        return model

    def _plan(self) -> Plan:
        from .model import Shape
        from .train import Plan

        return Plan(
            self.out / "work",
            self.minutes,
            self.init,
            self.device,
            self.draw,
            confusions=self.confusions,
            layers=self.layers or Shape.layers,
        )


def check(model: Path, calls: int, show: bool, tool_turns: int) -> None:
    """Print the scores of a model file, in so many ``calls`` of each kind; ``tool_turns`` are
    explained in ``tool_calls.py``.
    """
    from .evaluate import Chat, held_out_calls, own_words, speed_of
    from .tool_calls import tool_calls

    chat = Chat(model)
    tables: dict[str, object] = {
        "questions to the clinic": own_words(chat, show=show),
        "questions by someone else": own_words(chat, "unseen.toml", show),
        "what nobody there can know": own_words(chat, "unanswerable.toml", show),
        "calls with unseen facts": held_out_calls(chat, calls),
        "calls to the clinic": held_out_calls(chat, calls, seed=77, demo=True),
        "wide calls with unseen facts": held_out_calls(chat, calls, wide=True),
        "wide calls to the clinic": held_out_calls(chat, calls, seed=77, demo=True, wide=True),
    }
    tables["speed"] = speed_of(chat)
    if tool_turns:
        tables["tool calls"] = asyncio.run(tool_calls(model, tool_turns))
    for name, table in tables.items():
        print(json.dumps({name: table}, ensure_ascii=False), flush=True)

"""A cache and a model in integers, for tests of the chat scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.engines.llama_kv import CopyPrefix
from gateway.engines.llama_slots import SlotScheduler
from gateway.engines.llama_steps import SlotRequest, Step

SPECULATIVE = 1


@dataclass
class FakeModel:
    """A unified KV cache that does what the steps say and checks that they can be done.

    The token sampled after n tokens is 1000 + n, so replies never equal prompts.
    """

    scheduler: SlotScheduler
    cells: dict[int, list[tuple[int, object]]] = field(default_factory=dict)
    prompts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    replies: dict[int, list[int]] = field(default_factory=dict)
    closed: dict[int, bool] = field(default_factory=dict)

    def submit(self, request: SlotRequest) -> None:
        self.prompts[request.id] = request.prompt
        self.replies[request.id] = []
        self.scheduler.submit(request)
        self.collect()

    def collect(self) -> None:
        for closed in self.scheduler.take_closed():
            assert closed.request not in self.closed, "closed twice"
            self.closed[closed.request] = closed.dropped

    def run(self, step: Step, ends: frozenset[int] = frozenset()) -> None:
        for operation in step.operations:
            if isinstance(operation, CopyPrefix):
                assert not self.cells.get(operation.target), "copied onto a used sequence"
                source = self.cells[operation.source]
                assert len(source) >= operation.length
                self.cells[operation.target] = source[: operation.length]
            else:
                del self.cells[operation.sequence][operation.length :]
        owners: dict[int, int] = {}
        sampled: dict[int, int] = {}
        for row in step.rows:
            content = self.cells.setdefault(row.sequence, [])
            assert row.position == len(content), "positions must follow each other"
            content.append((row.token, object()))
            if row.request is not None:
                assert owners.setdefault(row.sequence, row.request) == row.request
                text = tuple(token for token, _ in content)
                assert text == (*self.prompts[row.request], *self.replies[row.request])
                sampled[row.request] = 1000 + len(text)
        live = {id(cell) for content in self.cells.values() for _, cell in content}
        assert len(live) <= self.scheduler.cells, "cache overflow"
        assert all(0 <= sequence < self.scheduler.sequences for sequence in self.cells)
        for request, token in sampled.items():
            self.replies[request].append(token)
        self.scheduler.apply(sampled, ends & sampled.keys())
        self.collect()

    def step(self, ends: frozenset[int] = frozenset()) -> Step | None:
        step = self.scheduler.plan()
        self.collect()
        if step is not None:
            self.run(step, ends)
        return step

    def drain(self, limit: int = 10_000) -> list[Step]:
        steps: list[Step] = []
        while (step := self.step()) is not None:
            steps.append(step)
            assert len(steps) < limit, "no end in sight"
        return steps


def scheduler(
    cells: int = 256, sequences: int = 4, batch: int = 64, prefill_chunk: int = 8, waiting: int = 8
) -> FakeModel:
    return FakeModel(SlotScheduler(cells, sequences, batch, prefill_chunk, waiting))


def request(
    id: int,
    prompt: tuple[int, ...],
    *,
    call: str = "",
    max_tokens: int = 3,
    shared: int = 0,
    priority: int = 0,
) -> SlotRequest:
    return SlotRequest(id, call or f"call{id}", prompt, max_tokens, shared, priority)

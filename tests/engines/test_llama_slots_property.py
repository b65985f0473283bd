"""The chat scheduler under random load."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.fake_llama import request, scheduler


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cells=st.integers(40, 120),
    sequences=st.integers(1, 5),
    batch=st.integers(5, 40),
    chunk=st.integers(1, 10),
    waiting=st.integers(1, 6),
)
def test_every_request_finishes_or_is_dropped_and_the_cache_never_overflows(
    seed: int, cells: int, sequences: int, batch: int, chunk: int, waiting: int
) -> None:
    random_ = random.Random(seed)
    model = scheduler(cells, sequences, batch, chunk, waiting)
    histories: dict[str, tuple[int, ...]] = {}
    cancelled: set[int] = set()
    for id in range(30):
        for _ in range(random_.randrange(4)):
            model.step(ends=frozenset(random_.sample(range(30), 3)))
        call = f"call{random_.randrange(6)}"
        system = tuple(range(100, 100 + random_.choice((0, 6, 12))))
        kept = histories.get(call, system)[: random_.randrange(30)]
        prompt = (*kept, *(random_.randrange(3) for _ in range(random_.randrange(1, 8))))
        histories[call] = prompt
        shared = next((i for i, t in enumerate(prompt) if t < 100), len(prompt))
        max_tokens = random_.choice((0, 1, 2, 5))
        model.submit(
            request(
                id,
                prompt,
                call=call,
                max_tokens=max_tokens,
                shared=len(prompt) if max_tokens == 0 else min(shared, len(prompt) - 1),
                priority=random_.choice((0, 0, 1)),
            )
        )
        match random_.randrange(8):
            case 0:
                victim = random_.randrange(id + 1)
                if victim not in model.closed:
                    cancelled.add(victim)
                    model.scheduler.cancel(victim)
            case 1:
                model.scheduler.forget(call)
            case 2:
                model.scheduler.promote(call)
            case _:
                pass
    model.drain()
    assert set(model.closed) | cancelled == set(range(30))
    assert model.scheduler.running == model.scheduler.waiting == 0
    for id, reply in model.replies.items():
        expected = len(model.prompts[id]) + 1000
        assert reply == list(range(expected, expected + len(reply)))

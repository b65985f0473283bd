"""An event loop whose time is counted, not waited for: long calls in a moment, always the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

ResultT = TypeVar("ResultT")


class _CountingSelector(selectors.SelectSelector):
    """Where a loop would sleep until its next timer, puts the clock forward instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times; ``time`` begins at 0."""

    def __init__(self) -> None:
        self._counting = _CountingSelector()
        super().__init__(self._counting)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._counting.now


def run_virtually(work: Coroutine[None, None, ResultT]) -> ResultT:
    """``asyncio.run`` in virtual time. Work in threads or on sockets is not waited for."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)

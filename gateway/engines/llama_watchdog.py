"""Notices a step of the chat model that does not end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("gateway.engines.llama")

_LOOKS_PER_TIMEOUT = 4
_GIVE_UP_AFTER = 2.0


class Watchdog:
    """A thread that looks at the age of the step in flight.

    A step older than ``timeout_s`` is asked to stop; llama.cpp looks at that between two operations
    on a CPU, on a GPU only between two graphs. When it is still running as long again later,
    those who wait for it are let go, and so is everybody who comes before it ends.

    Args:
        step_seconds: age of the step in flight, 0 when idle.
        abort: asks the step to stop.
        let_go: fails everything that waits.
    """

    def __init__(
        self,
        timeout_s: float,
        step_seconds: Callable[[], float],
        abort: Callable[[], None],
        let_go: Callable[[], None],
    ) -> None:
        self._timeout_s = timeout_s
        self._step_seconds = step_seconds
        self._abort = abort
        self._let_go = let_go
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="llama-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns at once."""
        self._stopped.set()

    def _watch(self) -> None:
        aborting = False
        while not self._stopped.wait(self._timeout_s / _LOOKS_PER_TIMEOUT):
            age = self._step_seconds()
            if age < self._timeout_s:
                aborting = False
                continue
            if not aborting:
                logger.error("a step of the chat model has taken %.1f s: it is stopped", age)
                aborting = True
                self._abort()
            if age >= _GIVE_UP_AFTER * self._timeout_s:
                self._let_go()

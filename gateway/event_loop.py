"""The event loop of a serving gateway: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_REMIND_S: Final = 60.0
"""Time between two lines about connections that cannot be accepted."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on the fastest loop there is.

    uvloop handles the many small messages of listening calls at less cost; it is an extra, because
    it is compiled and not made for every system.
    """
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.get_loop().set_exception_handler(LoopFaults())
        return runner.run(main)


class LoopFaults:
    """Logs what goes wrong in the loop itself, as an exception handler of it.

    asyncio tries to accept a hundred times a second when the process may open no more files, with
    a traceback each time: the calls that run would wait for the log, and the disk would fill.
    """

    def __init__(self) -> None:
        self._told = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one fault; of connections that cannot be accepted, one a minute."""
        if context["message"] == "socket.accept() out of system resource":
            if loop.time() - self._told >= _REMIND_S:
                self._told = loop.time()
                log.error(
                    "no connection can be accepted, those that come have to wait: %s; raise the"
                    " limit of open files (ulimit -n)",
                    context["exception"].strerror,
                )
        elif "._start_serving(" not in context["message"]:  # its next try: the listener has closed
            loop.default_exception_handler(context)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop

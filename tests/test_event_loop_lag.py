"""Nothing that a call does on the event loop keeps other calls waiting."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from asyncio.events import Handle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.app import Gateway
from gateway.settings import load_settings
from gateway.simulator.client import CallResult, place_call
from gateway.simulator.conversations import load_conversations

MOST_S = 0.05
"""Far above what any callback takes: one chunk of audio, one word, one message."""


class Callbacks:
    """The worst callbacks of one event loop: by CPU time of its thread, and by the clock."""

    def __init__(self) -> None:
        self.cpu_s, self.wall_s = 0.0, 0.0
        self.busiest = self.slowest = "none"

    def took(self, callback: Handle, cpu_s: float, wall_s: float) -> None:
        if cpu_s > self.cpu_s:
            self.cpu_s, self.busiest = cpu_s, repr(callback)
        if wall_s > self.wall_s:
            self.wall_s, self.slowest = wall_s, repr(callback)


@contextmanager
def timed_callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callbacks]:
    """As asyncio's debug mode does, but with the CPU time too: that is free of others' noise."""
    callbacks = Callbacks()
    thread = threading.get_ident()
    genuine = Handle._run

    def run(self: Handle) -> None:
        if threading.get_ident() != thread:
            return genuine(self)
        cpu, wall = time.thread_time(), time.perf_counter()
        genuine(self)
        callbacks.took(self, time.thread_time() - cpu, time.perf_counter() - wall)

    with monkeypatch.context() as patch:
        patch.setattr(Handle, "_run", run)
        yield callbacks


@contextmanager
def machine_noise() -> Iterator[list[float]]:
    """How late an idle thread of this process wakes up: what no event loop can help, in seconds."""
    lags: list[float] = []
    over = threading.Event()

    def sample() -> None:
        before = time.perf_counter()
        while not over.wait(0.01):
            now = time.perf_counter()
            lags.append(now - before - 0.01)
            before = now

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lags
    finally:
        over.set()
        thread.join()


@contextmanager
def nothing_old_to_collect() -> Iterator[None]:
    """The garbage collector would search half a second for what other tests left in memory."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def test_a_call_never_blocks_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "0")
    settings = load_settings(None)
    if not settings.stt_path.exists():
        pytest.skip("this checkout has no starter models")
    english = next(c for c in load_conversations() if c.language == "en")

    async def call() -> tuple[CallResult, Callbacks, float]:
        async with Gateway(settings) as gateway:
            await gateway.ready()
            with timed_callbacks(monkeypatch) as callbacks, machine_noise() as lags:
                result = await place_call(gateway.url, english.recordings()[:1], language="en")
            return result, callbacks, max(lags)

    with nothing_old_to_collect():
        result, callbacks, noise_s = asyncio.run(call())
    assert result.failure is None and result.turns[0].assistant_text
    assert callbacks.slowest != "none"
    assert callbacks.cpu_s < MOST_S, callbacks.busiest
    assert callbacks.wall_s < 2 * MOST_S + 3 * noise_s, callbacks.slowest

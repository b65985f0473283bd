"""How the threads of the machine are divided among the three engines."""

from __future__ import annotations

from dataclasses import dataclass

_BATCH_THREADS = 4
"""Threads of one recognition batch on large machines: a second one gains more than a wider one."""

_MOST_CHAT_THREADS = 16
"""A chat step reads the whole model from memory; more threads than this only wait for it."""


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """Threads of each engine.

    Attributes:
        stt: threads of one recognition batch.
        stt_workers: recognition batches at the same time.
        chat: threads of the one chat step that all calls share.
        tts: pieces of speech at the same time, each on one thread.
    """

    stt: int
    stt_workers: int
    chat: int
    tts: int


def thread_budget(threads: int) -> ThreadBudget:
    """Divide threads so that busy engines do not wait for one another's.

    Threads of one chat step or batch wait for each other all the time, so one that is put aside
    for another engine's stops them all: from three threads on, no more are given than there are.
    A quarter speaks, the rest is shared by chat and recognition; each has at least one.

    Args:
        threads: at least 1.
    """
    tts = max(1, threads // 4)
    rest = max(2, threads - tts)
    chat = min((rest + 1) // 2, _MOST_CHAT_THREADS)
    stt = rest - chat
    return ThreadBudget(*_batches(stt), chat, tts)


def engine_alone(threads: int) -> ThreadBudget:
    """All threads for each engine: right only while the other two have nothing to do.

    Recognition has them in one batch, so that one utterance has as many as several together.
    """
    return ThreadBudget(threads, 1, min(threads, _MOST_CHAT_THREADS), threads)


def _batches(threads: int) -> tuple[int, int]:
    """Threads of one recognition batch, and batches at the same time."""
    workers = max(1, threads // _BATCH_THREADS)
    return threads // workers, workers

"""What goes into the chat scheduler and what comes out of it, in integers."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engines.llama_kv import KvOperation

FINAL = 0


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A prompt to prefill and then continue.

    Attributes:
        id: unique, >= 0, growing with time: it is also the order of arrival.
        call_id: the call whose kept sequence may be taken over.
        prompt: token ids, at least one.
        max_tokens: tokens to sample at most; 0 only prefills the shared prefix.
        shared: leading prompt tokens that other calls will ask for too (the system prompt).
        priority: 0 is FINAL; anything above may be dropped under load.
    """

    id: int
    call_id: str
    prompt: tuple[int, ...]
    max_tokens: int
    shared: int = 0
    priority: int = FINAL


@dataclass(frozen=True, slots=True)
class Row:
    """One token of the batch. ``request`` is the one to sample for after it, or None."""

    token: int
    position: int
    sequence: int
    request: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass: cache operations first, then the batch (which may be empty)."""

    operations: tuple[KvOperation, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """A request that is over: finished, or dropped because the engine is too busy."""

    request: int
    dropped: bool


@dataclass(slots=True)
class Counters:
    """Totals since start, in tokens unless named otherwise.

    Attributes:
        prefilled: prompt tokens computed.
        reused: prompt tokens found in the cache instead.
        sampled: reply tokens sampled.
        steps: forward passes.
        dropped: requests given up because of load.
        evicted: idle sequences removed to make room.
    """

    prefilled: int = 0
    reused: int = 0
    sampled: int = 0
    steps: int = 0
    dropped: int = 0
    evicted: int = 0

"""Admission: which calls may start, and which are running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.errors import CapacityError, ProtocolError

_ANSWER_S = 1.0
"""Time in which a client that is there answers; one that calls again waits as long at most."""


class Place:
    """Room for one call, held for a socket until its first call takes it or the socket goes."""

    __slots__ = ("_registry",)

    def __init__(self, registry: CallRegistry) -> None:
        self._registry: CallRegistry | None = registry

    def release(self) -> None:
        """Give the room back; more than once, or after a call took it, does nothing."""
        registry, self._registry = self._registry, None
        if registry is not None:
            registry._reserved -= 1


@dataclass(slots=True)
class _Running:
    """A call until it is over. ``answers``: whether its client is still there, asked just now."""

    answers: Callable[[], Awaitable[bool]] | None
    ending: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class CallRegistry:
    """Counts the running calls of the whole process and refuses those that do not fit.

    Call ids are unique in the process: the same id on a second socket is refused.
    """

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self._running: dict[str, _Running] = {}
        self._reserved = 0
        self._draining = False
        self._busy: str | None = None

    @property
    def active(self) -> int:
        """Calls that are running."""
        return len(self._running)

    @property
    def reserved(self) -> int:
        """Places held for sockets whose first call has not started."""
        return self._reserved

    @property
    def free(self) -> int:
        """Calls that may still start."""
        if self._draining or self._turned_away is not None:
            return 0
        return self._room

    @property
    def draining(self) -> bool:
        """No new call is admitted any more."""
        return self._draining

    def start_drain(self) -> None:
        """Refuse every new call from now on."""
        self._draining = True

    def refuse_new(self, reason: str | None) -> None:
        """Refuse new calls for a while, so that running ones keep their pace.

        While there is no call at all one is admitted nevertheless: then it is not calls that keep
        the machine busy, and refusing them would not help it.

        Args:
            reason: what the refused are told; None lets them in again.
        """
        self._busy = reason

    def admit(self) -> Place:
        """Reserve room for the first call of a new socket.

        Raises:
            CapacityError: the gateway is full, too busy or draining.
        """
        reason = self._refusal()
        if reason is not None:
            raise CapacityError(reason)
        self._reserved += 1
        return Place(self)

    def open(
        self,
        call_id: str,
        place: Place | None = None,
        answers: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Start a call, in a reserved place or else in a free one.

        Args:
            answers: asks the call's client whether it is still there; without it, it is.

        Raises:
            ProtocolError: ``duplicate_call`` or ``capacity``; a place given is then still held.
        """
        if call_id in self._running:
            text = f"expected a 'callId' that is not in use, got {call_id!r} of a running call"
            raise ProtocolError("duplicate_call", text, call_id)
        reason = self._refusal(reserved=place is not None)
        if reason is not None:
            raise ProtocolError("capacity", reason, call_id)
        if place is not None:
            place.release()
        self._running[call_id] = _Running(answers)

    def ending(self, call_id: str) -> None:
        """A call that was opened here has been told that it is over."""
        self._running[call_id].ending = True

    async def ended(self, call_id: str) -> None:
        """Wait for a call that is ending, or whose client turns out to be gone; for any other, only
        for its client's answer.
        """
        call = self._running.get(call_id)
        if call is not None and (call.ending or await _gone(call)):
            await call.over.wait()

    def close(self, call_id: str) -> None:
        """A call that was opened here is over."""
        if (call := self._running.pop(call_id, None)) is not None:
            call.over.set()

    def _refusal(self, *, reserved: bool = False) -> str | None:
        if self._draining:
            return "the gateway is shutting down and takes no new calls"
        if reserved:
            return None
        if self._room == 0:
            return f"all {self.max_calls} calls of the gateway are in use; try again later"
        return self._turned_away

    @property
    def _room(self) -> int:
        return max(0, self.max_calls - self.active - self._reserved)

    @property
    def _turned_away(self) -> str | None:
        return self._busy if self.active + self._reserved else None


async def _gone(call: _Running) -> bool:
    """Whether the client is known to be gone: its last words may wait to be read before its end."""
    if call.answers is None:
        return False
    try:
        async with asyncio.timeout(_ANSWER_S):
            return not await call.answers()
    except TimeoutError:
        return False

"""Admission: which calls may start, and which are running."""

from __future__ import annotations

import asyncio

from gateway.errors import CapacityError, ProtocolError


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


class CallRegistry:
    """Counts the running calls of the whole process and refuses those that do not fit.

    Call ids are unique in the process: the same id on a second socket is refused.
    """

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self._call_ids: set[str] = set()
        self._ending: dict[str, asyncio.Event] = {}
        self._reserved = 0
        self._draining = False
        self._busy: str | None = None

    @property
    def active(self) -> int:
        """Calls that are running."""
        return len(self._call_ids)

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

    def open(self, call_id: str, place: Place | None = None) -> None:
        """Start a call, in a reserved place or else in a free one.

        Raises:
            ProtocolError: ``duplicate_call`` or ``capacity``; a place given is then still held.
        """
        if call_id in self._call_ids:
            text = f"expected a 'callId' that is not in use, got {call_id!r} of a running call"
            raise ProtocolError("duplicate_call", text, call_id)
        reason = self._refusal(reserved=place is not None)
        if reason is not None:
            raise ProtocolError("capacity", reason, call_id)
        if place is not None:
            place.release()
        self._call_ids.add(call_id)

    def ending(self, call_id: str) -> None:
        """A call that was opened here has been told that it is over."""
        self._ending[call_id] = asyncio.Event()

    async def ended(self, call_id: str) -> None:
        """Wait for a call that has been told that it is over; does nothing for any other."""
        if (event := self._ending.get(call_id)) is not None:
            await event.wait()

    def close(self, call_id: str) -> None:
        """A call that was opened here is over."""
        self._call_ids.discard(call_id)
        if (event := self._ending.pop(call_id, None)) is not None:
            event.set()

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

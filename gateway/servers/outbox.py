"""What waits to be sent on one socket: bounded, drained by one task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from gateway.audio.pcm import Samples
from gateway.protocols.base import CallProtocol, Role

DEFAULT_LIMIT = 1 << 20
"""Bytes for each open call: about 24 s of one that speaks without a break, in base64."""


class _Waiting(NamedTuple):
    """A queued message. ``audio_of``: the call whose audio it is, None for anything else."""

    message: str | bytes
    size: int
    audio_of: str | None


class Outbox:
    """Outbound queue of one socket.

    ``put`` never blocks. A client that does not read fills the queue to ``limit`` bytes for each
    call; then the connection is aborted, because audio that late is of no use and a closing
    handshake would wait for the same client.

    Args:
        on_overflow: called once, when the limit is passed.
        limit: bytes that may wait for each call that is open, and for a socket without a call.
        calls: how many calls are open on the socket. They share what may wait, so that a stall of
            the network that one call outlasts is outlasted by fifty.
        close_timeout_s: how long queued messages and the closing handshake may take.
    """

    def __init__(
        self,
        ws: ServerConnection,
        *,
        on_overflow: Callable[[], None],
        limit: int = DEFAULT_LIMIT,
        calls: Callable[[], int] = lambda: 1,
        close_timeout_s: float = 5.0,
    ) -> None:
        self._ws = ws
        self._on_overflow = on_overflow
        self._limit = limit
        self._calls = calls
        self._close_timeout_s = close_timeout_s
        self._messages: deque[_Waiting] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._aborted = False

    @property
    def size(self) -> int:
        """Bytes waiting, not counting what the socket has already taken."""
        return self._size

    @property
    def closing(self) -> bool:
        """Nothing is accepted any more."""
        return self._closing is not None or self._aborted

    def put(self, message: str | bytes, audio_of: str | None = None) -> None:
        """Queue one message, audio of the call ``audio_of`` or anything else; dropped once the
        socket is closing.
        """
        if self.closing:
            return
        size = _bytes_of(message)
        if self._size + size > self._limit * max(1, self._calls()):
            self._on_overflow()
            self.abort()
            return
        self._messages.append(_Waiting(message, size, audio_of))
        self._size += size
        self._changed.set()

    def drop_audio(self, call_id: str) -> None:
        """Drop the audio of one call that still waits; all other messages keep their order."""
        self._messages = deque(each for each in self._messages if each.audio_of != call_id)
        self._size = sum(each.size for each in self._messages)

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close the socket; only the first code counts."""
        if self.closing:
            return
        self._closing = (code, reason)
        loop = asyncio.get_running_loop()
        self._close_timer = loop.call_later(self._close_timeout_s, self.abort)
        self._changed.set()

    def abort(self) -> None:
        """Drop what is queued and the connection with it, without a closing handshake."""
        self._forget()
        self._ws.transport.abort()

    async def run(self) -> None:
        """Send messages in order until the socket closes; returns once it is closed."""
        try:
            while not self._aborted:
                while self._messages:
                    first = self._messages.popleft()
                    self._size -= first.size
                    await self._ws.send(first.message)
                if self._closing is not None:
                    await self._ws.close(*self._closing)
                    return
                await self._changed.wait()
                self._changed.clear()
        except ConnectionClosed:
            pass
        finally:
            self._forget()
            if self._close_timer is not None:
                self._close_timer.cancel()

    def _forget(self) -> None:
        self._aborted = True
        self._messages.clear()
        self._size = 0
        self._changed.set()


class OutboxTransport:
    """CallTransport of one call over the outbox of its socket."""

    def __init__(self, call_id: str, protocol: CallProtocol, outbox: Outbox) -> None:
        self.max_lead_s = protocol.max_lead_s
        self._call_id = call_id
        self._protocol = protocol
        self._outbox = outbox

    def send_audio(self, samples: Samples) -> None:
        """Queue audio for the caller."""
        if len(samples):
            self._outbox.put(self._protocol.audio(self._call_id, samples), self._call_id)

    def drop_audio(self) -> None:
        """Drop the audio that still waits; what the socket has taken cannot be called back."""
        self._outbox.drop_audio(self._call_id)

    @property
    def wants_partials(self) -> bool:
        """Whether the client asked for the caller's words while they are being said."""
        return self._protocol.wants_partials(self._call_id)

    def send_partial(self, text: str, utterance: int, language: str) -> None:
        """Queue what the caller has said so far."""
        message = self._protocol.partial(self._call_id, text, utterance, language)
        if message is not None:
            self._outbox.put(message)

    def send_transcript(self, role: Role, text: str, utterance: int) -> None:
        """Queue finished words of either side."""
        message = self._protocol.transcript(self._call_id, role, text, utterance)
        if message is not None:
            self._outbox.put(message)


def _bytes_of(message: str | bytes) -> int:
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())

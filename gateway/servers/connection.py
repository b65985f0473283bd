"""One WebSocket and the calls it carries."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.frames import CloseCode

from gateway.calls.base import CallFactory, RunningCall
from gateway.calls.registry import CallRegistry, Place
from gateway.errors import ProtocolError
from gateway.events import AudioReceived, CallEnded, CallStarted, EdgeEvent, OptionsChanged
from gateway.logs import log_context
from gateway.protocols.base import CallProtocol, Received
from gateway.servers.outbox import DEFAULT_LIMIT, Outbox, OutboxTransport

logger = logging.getLogger(__name__)

_BROKEN_RULES = (
    CloseCode.PROTOCOL_ERROR,
    CloseCode.INVALID_DATA,
    CloseCode.MESSAGE_TOO_BIG,
)
"""Close codes that answer what is no message, or too large a one."""


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Limits of one connection; times in seconds, sizes in bytes.

    Attributes:
        init_timeout_s: time to the first call of a socket.
        idle_timeout_s: time without audio of the client that ends a call.
        close_timeout_s: time for queued messages and the closing handshake.
        call_end_timeout_s: time a call may take to end after its socket is gone.
        max_message: largest message of a client.
        max_outbound: messages waiting to be sent, for each call of the connection, before the
            client counts as gone.
    """

    init_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    call_end_timeout_s: float = 5.0
    max_message: int = 256 * 1024
    max_outbound: int = DEFAULT_LIMIT


@dataclass(slots=True)
class _Call:
    """A call until its task is done. ``ending``: it has been told that it is over; what it still
    says is sent, and then the socket closes with ``close``, should the call be its last.
    """

    running: RunningCall
    task: asyncio.Task[None]
    last_audio: float
    ending: bool = False
    close: tuple[int, str] | None = None


class CallConnection:
    """Owns a socket's protocol, its outbox and one task per call, in one task group.

    Args:
        place: room for the first call, reserved before the upgrade.
        counters: ``overflows``, ``violations``, ``failed_calls``; shared by all connections.
    """

    def __init__(
        self,
        ws: ServerConnection,
        protocol: CallProtocol,
        *,
        registry: CallRegistry,
        place: Place,
        call_factory: CallFactory,
        limits: EdgeLimits,
        counters: Counter[str],
    ) -> None:
        self._ws = ws
        self._protocol = protocol
        self._registry = registry
        self._place: Place | None = place
        self._call_factory = call_factory
        self._limits = limits
        self._counters = counters
        self._outbox = Outbox(
            ws,
            on_overflow=self._overflowed,
            limit=limits.max_outbound,
            calls=lambda: len(self._calls),
            close_timeout_s=limits.close_timeout_s,
        )
        self._calls: dict[str, _Call] = {}
        self._tasks = asyncio.TaskGroup()
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Serve the socket until it is closed and every call on it has ended."""
        loop = asyncio.get_running_loop()
        init_timer = loop.call_later(self._limits.init_timeout_s, self._init_timed_out)
        try:
            async with self._tasks as tasks:
                tasks.create_task(self._outbox.run(), name="writer")
                watch = tasks.create_task(self._watch_idle(), name="idle watch")
                reason = await self._receive()
                watch.cancel()
                # The socket is closed: this only stops the writer.
                self._outbox.abort()
                for call_id in list(self._calls):
                    self._end(call_id, reason)
        finally:
            init_timer.cancel()

    def drain(self) -> None:
        """Let running calls finish their sentence; a socket without calls closes now."""
        if not self._calls:
            self._close_last()
        for call_id, call in list(self._calls.items()):
            with self._contained(call_id):
                call.running.drain()

    def close(self, code: int, reason: str) -> None:
        """End every call, and close the socket when they have said what they had to say."""
        if not self._calls:
            self._outbox.close(code, reason)
        for call_id in list(self._calls):
            self._end(call_id, "shutdown", (code, reason))

    async def _receive(self) -> str:
        """Handle messages until the socket closes; returns why, as one word."""
        now = asyncio.get_running_loop().time
        try:
            while True:
                message = await self._ws.recv()
                if self._outbox.closing:
                    continue
                arrived = now()
                received = self._protocol.receive(message, arrived)
                if await self._accepted(received):
                    for answer in received.answers:
                        self._outbox.put(answer)
                    for call_id, event in received.events:
                        self._handle(call_id, event, arrived)
                for error in received.errors:
                    self._report(error)
                if received.close is not None:
                    self._outbox.close(*received.close)
        except ConnectionClosedOK:
            return "closed"
        except ConnectionClosed as error:
            sent = error.sent
            if sent is not None and not error.rcvd_then_sent:  # else it is the client's, sent back
                if sent.code in _BROKEN_RULES:
                    self._closed_for(f"{sent.code} {sent.reason}")
                elif sent.code == CloseCode.INTERNAL_ERROR:  # also of a client that answers no ping
                    logger.info("connection closed: %d %s", sent.code, sent.reason)
            return "connection_lost"

    def _closed_for(self, violation: str) -> None:
        """Count and log a violation that the close code tells the client."""
        self._counters["violations"] += 1
        logger.info("connection closed: %s", violation)

    def _handle(self, call_id: str, event: EdgeEvent, arrived: float) -> None:
        call = self._calls.get(call_id)
        if call is None or call.ending:
            return
        if not isinstance(event, AudioReceived):
            with self._contained(call_id):
                call.running.deliver(event)
            return
        # Fifty times a second and call: tagging the log waits until there is something to log.
        call.last_audio = arrived
        try:
            call.running.deliver(event)
        except Exception:  # boundary
            with log_context(call_id=call_id):
                self._failed(call_id)

    async def _accepted(self, received: Received) -> bool:
        """Open the call that a message starts; False when the message is refused as a whole."""
        for call_id, event in received.events:
            if isinstance(event, CallStarted) and not await self._open(call_id):
                return False
            call = self._calls.get(call_id)
            if isinstance(event, OptionsChanged) and call is not None and call.ending:
                # An init that is not for this call any more, and cannot open the next one yet.
                text = f"expected a 'callId' that is not in use, got {call_id!r} of an ending call"
                self._report(ProtocolError("duplicate_call", text, call_id))
                return False
        return True

    async def _open(self, call_id: str) -> bool:
        """Admit and start a call; False when that was not possible."""
        # A client that lost its socket calls again faster than the call on it has ended.
        await self._registry.ended(call_id)
        try:
            self._registry.open(call_id, self._place, self._answers)
        except ProtocolError as error:
            self._protocol.call_ended(call_id)
            self._report(error)
            if not self._calls:
                code = 4409 if error.code == "duplicate_call" else 1013
                self._outbox.close(code, error.code)
            return False
        self._place = None
        with self._contained(call_id):
            transport = OutboxTransport(call_id, self._protocol, self._outbox)
            running = self._call_factory(call_id, transport)
            task = self._tasks.create_task(self._carry(call_id, running), name=f"call {call_id}")
            task.add_done_callback(lambda _: self._carried(call_id))
            self._calls[call_id] = _Call(running, task, asyncio.get_running_loop().time())
            logger.info("call opened, %d running", self._registry.active)
            return True
        self._registry.close(call_id)
        return False

    async def _answers(self) -> bool:
        """Whether the client is still at the other end; waits for its answer."""
        try:
            await (await self._ws.ping())
        except ConnectionClosed:
            return False
        return True

    async def _carry(self, call_id: str, running: RunningCall) -> None:
        """The task of one call."""
        with self._contained(call_id):
            await running.run()

    def _carried(self, call_id: str) -> None:
        """The task of a call is done; also when it was cancelled before its first step."""
        self._registry.close(call_id)
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._protocol.call_ended(call_id)
            if not self._calls:
                self._close_last(call.close)
        logger.info("call closed, %d running", self._registry.active)

    def _end(self, call_id: str, reason: str, close: tuple[int, str] | None = None) -> None:
        """Tell a call that it is over; one that does not end in time is cancelled."""
        call = self._calls[call_id]
        if call.ending:
            return
        call.ending, call.close = True, close
        self._registry.ending(call_id)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._limits.call_end_timeout_s, call.task.cancel)
        call.task.add_done_callback(lambda _: timer.cancel())
        with self._contained(call_id):
            call.running.deliver(CallEnded(reason))

    @contextmanager
    def _contained(self, call_id: str) -> Iterator[None]:
        """Tag the log with the call; what goes wrong inside ends this call, not its neighbours."""
        with log_context(call_id=call_id):
            try:
                yield
            except Exception:  # boundary
                self._failed(call_id)

    def _failed(self, call_id: str) -> None:
        """Give up a call because of the exception that is being handled."""
        logger.exception("call failed")
        self._counters["failed_calls"] += 1
        text = "the gateway failed while serving this call"
        self._answer(ProtocolError("internal", text, call_id))
        self._protocol.call_ended(call_id)
        call = self._calls.pop(call_id, None)
        if call is not None and call.task is not asyncio.current_task():
            call.task.cancel()
        if not self._calls:
            self._outbox.close(1011, "internal")

    def _close_last(self, close: tuple[int, str] | None = None) -> None:
        """No call is left on the socket, which is all that it was for."""
        if close is None and self._registry.draining:
            close = 1001, "the gateway is shutting down"
        self._outbox.close(*close or (1000, "the call is over"))

    def _init_timed_out(self) -> None:
        if self._place is not None and not self._outbox.closing:
            limit = self._limits.init_timeout_s
            text = f"expected 'init' within {limit:g} s"
            self._outbox.close(4408, text)
            self._closed_for(f"4408 {text}")

    async def _watch_idle(self) -> None:
        """End each call whose client has sent no audio for the idle timeout."""
        loop = asyncio.get_running_loop()
        limit = self._limits.idle_timeout_s
        while True:
            idle_since = min(self._heard().values(), default=loop.time())
            await asyncio.sleep(idle_since + limit - loop.time())
            for call_id, last_audio in self._heard().items():
                if loop.time() - last_audio >= limit:
                    self._idle_timed_out(call_id)

    def _heard(self) -> dict[str, float]:
        """When each call that is not ending had its last audio."""
        return {name: call.last_audio for name, call in self._calls.items() if not call.ending}

    def _idle_timed_out(self, call_id: str) -> None:
        text = f"expected audio of the caller, got none for {self._limits.idle_timeout_s:g} s"
        self._report(ProtocolError("idle_timeout", text, call_id))
        self._end(call_id, "idle_timeout", (1000, "idle_timeout"))

    def _report(self, error: ProtocolError) -> None:
        """Answer a violation; the log has each kind once per socket."""
        self._counters["violations"] += 1
        level = logging.DEBUG if error.code in self._reported else logging.INFO
        self._reported.add(error.code)
        with log_context(call_id=error.call_id):
            logger.log(level, "%s: %s", error.code, error)
        self._answer(error)

    def _answer(self, error: ProtocolError) -> None:
        message = self._protocol.error(error)
        if message is not None:
            self._outbox.put(message)

    def _overflowed(self) -> None:
        self._counters["overflows"] += 1
        logger.warning(
            "connection dropped: the client does not read, %d bytes were waiting",
            self._outbox.size,
        )

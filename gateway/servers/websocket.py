"""The WebSocket listener: pages and refusals before the upgrade, connections after it, drain."""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.calls.base import CallFactory
from gateway.calls.load import LoadMonitor
from gateway.calls.registry import CallRegistry, Place
from gateway.errors import CapacityError, ConfigError
from gateway.protocols.base import CallProtocol
from gateway.protocols.native import NativeProtocol
from gateway.servers.address import authority
from gateway.servers.connection import CallConnection, EdgeLimits
from gateway.servers.http import HttpPages, Readiness, unavailable
from gateway.servers.origins import AllowedOrigins

logger = logging.getLogger(__name__)

PING_S = 20.0

READ_SIZE = 4096
"""Bytes of a socket that are read before the others have their turn. As many as asyncio would read
hold tens of thousands of tiny frames, over which every other call would wait for a second.
"""

MAX_UNREAD = 1 << 20
"""Bytes that a socket may hold for a client that does not read. Messages wait in the outbox before
they come to as much: these are answers to pings, which nothing else bounds.
"""


class _Socket(ServerConnection):
    """A TCP connection that gives its reserved place back however it ends."""

    place: Place | None = None
    gone = False
    sockets: set[_Socket]
    """All that are open; the listener's, like what follows."""
    max_sockets: int
    counters: Counter[str]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # uvloop has its own
            transport.max_size = READ_SIZE
        self.sockets.add(self)
        if len(self.sockets) > self.max_sockets:
            logger.info("connection refused: %d are open", self.max_sockets)
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        unread = self.transport.get_write_buffer_size()
        if unread > MAX_UNREAD and not self.transport.is_closing():
            logger.warning(
                "connection dropped: the client does not read, %d bytes were waiting", unread
            )
            self.counters["overflows"] += 1
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone = True
        if self.place is not None:
            self.place.release()
        self.sockets.discard(self)


class WebSocketServer:
    """Serves calls on one port.

    Args:
        port: 0 takes any free port, told by ``port`` once started.
        call_factory: makes the call for each ``init``.
        registry: admission, shared with every other listener.
        readiness: calls are refused until everything in it is up.
        protocol_factory: makes the protocol of each socket.
        load: shown on the page that tells whether calls are taken.
        allowed_origins: web pages that may open calls, besides those of the host that is called.
        max_sockets: connections at the same time, with and without a call; more are closed at once.
    """

    def __init__(
        self,
        call_factory: CallFactory,
        registry: CallRegistry,
        *,
        host: str = "127.0.0.1",
        port: int = 8765,
        readiness: Readiness | None = None,
        protocol_factory: Callable[[], CallProtocol] = NativeProtocol,
        limits: EdgeLimits | None = None,
        load: LoadMonitor | None = None,
        allowed_origins: Iterable[str] = (),
        max_sockets: int = sys.maxsize,
    ) -> None:
        self._call_factory = call_factory
        self._registry = registry
        self._host = host
        self._port = port
        origins = AllowedOrigins(allowed_origins)
        self._pages = HttpPages(registry, readiness or Readiness(), load, origins)
        self._protocol_factory = protocol_factory
        self._limits = limits or EdgeLimits()
        self._server: Server | None = None
        self._sockets: set[_Socket] = set()
        self._max_sockets = max_sockets
        self._connections: set[CallConnection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self.counters: Counter[str] = Counter()
        """Clients dropped (``overflows``), ``violations`` answered, ``failed_calls``."""

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        options: dict[str, Any] = {
            "process_request": self._process_request,
            "process_response": self._process_response,
            "create_connection": self._create_connection,
            "compression": None,
            "server_header": "voice-gateway",
            "max_size": self._limits.max_message,
            "ping_interval": PING_S,
            "ping_timeout": PING_S,
            "close_timeout": self._limits.close_timeout_s,
        }
        try:
            self._server = await serve(self._handle, self._host, self._port, **options)
        except (OSError, UnicodeError) as error:
            raise ConfigError(listen_problem(self._host, self._port, error)) from error
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        logger.info("listening on ws://%s", authority(self._host, self._port))

    async def drain(self, timeout_s: float) -> None:
        """Take no new calls, let running ones end within the time limit, then close the rest."""
        self._registry.start_drain()
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_closed.wait()
        except TimeoutError:
            logger.info("%d connections left after %g s", len(self._connections), timeout_s)
        for connection in list(self._connections):
            connection.close(1001, "the gateway is shutting down")
        await self._all_closed.wait()
        # What is left never became a WebSocket: half-open connections of scanners and the like.
        for ws in list(self._sockets):
            ws.transport.abort()
        await self._server.wait_closed()

    async def close(self) -> None:
        """Stop now; running calls are told that they are over."""
        await self.drain(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _create_connection(self, *args: Any, **kwargs: Any) -> ServerConnection:
        ws = _Socket(*args, **kwargs)
        ws.sockets, ws.max_sockets, ws.counters = self._sockets, self._max_sockets, self.counters
        return ws

    def _process_request(self, ws: ServerConnection, request: Request) -> Response | None:
        return self._pages.answer(request)

    def _process_response(
        self, ws: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        """Reserve a place as the last thing before a valid upgrade is accepted."""
        assert isinstance(ws, _Socket)
        # The loss of the connection may come first (under uvloop): then nobody would give it back.
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS or ws.gone:
            return None
        try:
            ws.place = self._registry.admit()
        except CapacityError as error:
            logger.info("call refused: %s", error)
            return unavailable(str(error))
        return None

    async def _handle(self, ws: ServerConnection) -> None:
        assert isinstance(ws, _Socket) and ws.place is not None
        connection = CallConnection(
            ws,
            self._protocol_factory(),
            registry=self._registry,
            place=ws.place,
            call_factory=self._call_factory,
            limits=self._limits,
            counters=self.counters,
        )
        self._connections.add(connection)
        self._all_closed.clear()
        if self._registry.draining:
            connection.drain()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._all_closed.set()


def listen_problem(host: str, port: int, error: OSError | UnicodeError) -> str:
    """Why the address cannot be listened on, and what to do."""
    where = f"cannot listen on {authority(host, port)}"
    if isinstance(error, UnicodeError):
        return f"{where}: this is no name of a machine; check GATEWAY_HOST"
    match error.errno:
        case errno.EADDRINUSE:
            todo = "the port is taken: stop the other program or set GATEWAY_PORT to a free port"
        case errno.EACCES:
            todo = "not allowed: ports below 1024 need privileges; set GATEWAY_PORT to a higher one"
        case errno.EADDRNOTAVAIL | None:  # asyncio gives no number when no address could be had
            todo = "this machine has no such address: set GATEWAY_HOST to one it has, or 0.0.0.0"
        case _:
            todo = f"{error.strerror or error}; check GATEWAY_HOST and GATEWAY_PORT"
    return f"{where}: {todo}"

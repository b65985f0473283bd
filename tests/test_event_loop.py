"""The loop a gateway is served on."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.event_loop import LoopFaults, run


async def loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_is_used_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert run(loop_module()).startswith("uvloop")


def test_without_it_asyncio_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(loop_module()).startswith("asyncio")


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process may open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_that_may_open_no_more_files_tells_it_in_one_line_and_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.001)
    faults: asyncio.Queue[str] = asyncio.Queue()
    handle = LoopFaults.__call__

    def counted(self: LoopFaults, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        faults.put_nowait(context["message"])
        handle(self, loop, context)

    monkeypatch.setattr(LoopFaults, "__call__", counted)

    async def fault(text: str) -> None:
        while text not in await faults.get():
            pass

    async def main() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with socket.socket() as early, socket.socket() as late:
            for client in (early, late):
                client.setblocking(False)
            with no_more_files():
                await loop.sock_connect(early, address)
                for _ in range(300):  # more than one try to accept makes
                    await fault("accept")
            assert await loop.sock_recv(early, 1) == b"", "it waited until there was room"
            with no_more_files():
                await loop.sock_connect(late, address)
                await fault("accept")
                server.close()
                await fault("_start_serving")

    run(asyncio.wait_for(main(), 30))
    told = [(record.name, record.levelname, record.exc_info) for record in caplog.records]
    assert told == [("gateway.event_loop", "ERROR", None)]
    assert "ulimit -n" in caplog.text

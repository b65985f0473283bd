"""Which web pages may open calls."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from gateway.servers.http import Readiness
from gateway.servers.origins import AllowedOrigins
from tests.servers.harness import Bench, echo_works, init, run, serving


def lets_in(origin: str | None, host: str | None = "gate:8765", listed: Sequence[str] = ()) -> bool:
    headers = Headers()
    if host is not None:
        headers["Host"] = host
    if origin is not None:
        headers["Origin"] = origin
    return AllowedOrigins(listed).refusal(headers) is None


def test_who_sends_no_origin_is_let_in() -> None:
    assert lets_in(None) and lets_in(None, None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8765", "localhost:8765"),
        ("http://LocalHost:8765", "LOCALHOST:8765"),
        ("http://127.0.0.1:8765", "127.0.0.1:8765"),
        ("http://[::1]:8765", "[::1]:8765"),
        ("http://[FE80::A]:8765", "[fe80:0::a]:8765"),
        ("http://192.0.2.1", "192.0.2.1"),
        ("http://192.0.2.1", "192.0.2.1:80"),
        ("http://192.0.2.1:80", "192.0.2.1"),
        ("http://[::1]", "[::1]:80"),
        # Behind a proxy with TLS, which keeps the host.
        ("https://gate.example", "gate.example"),
        ("https://gate.example", "gate.example:443"),
        ("https://[2001:db8::1]", "[2001:db8::1]"),
        ("https://gate.example:8443", "gate.example:8443"),
    ],
)
def test_a_page_of_the_host_that_it_calls_is_let_in(origin: str, host: str) -> None:
    assert lets_in(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "localhost:8765"),
        ("http://localhost:3000", "localhost:8765"),
        ("http://localhost", "localhost:8765"),
        ("http://localhost:8765", "127.0.0.1:8765"),
        ("http://localhost:8765.evil.example", "localhost:8765"),
        ("http://localhost:8765@evil.example", "localhost:8765"),
        ("http://evil.example/localhost:8765", "localhost:8765"),
        ("http://gate.example:443", "gate.example"),
        ("https://gate.example", "gate.example:80"),
        ("http://[::1]:8765", "[::2]:8765"),
        ("http://[::1", "[::1"),
        ("http://[1.2]:8765", "[1.2]:8765"),
        # What resolved to somebody's page may resolve to this machine now.
        ("http://gate:8765", "gate:8765"),
        ("http://gate", "gate"),
        ("http://127.0.0.1.evil.example:8765", "127.0.0.1.evil.example:8765"),
        ("http://localhost.evil.example:8765", "localhost.evil.example:8765"),
        ("http://1.2.3:8765", "1.2.3:8765"),
        ("ws://localhost:8765", "localhost:8765"),
        ("ws://gate:8765", "gate:8765"),
        ("chrome-extension://gate", "gate"),
        ("gate:8765", "gate:8765"),
        ("null", "null"),
        ("null", "gate:8765"),
        ("", ""),
        ("", "gate:8765"),
        ("*", "gate:8765"),
        ("http://", ""),
        ("http://g\u00fcte:8765", "gate:8765"),
        ("http://gate:8765", None),
        ("http://gate:99999999", "gate:99999999"),
    ],
)
def test_any_other_page_is_not(origin: str, host: str | None) -> None:
    assert not lets_in(origin, host)
    assert lets_in(origin, host, ["*"])


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://app.example", "https://app.example"),
        ("http://gate:8765", "http://gate:8765"),
        ("https://app.example", "HTTPS://App.Example:443/"),
        ("http://app.example", "http://app.example:80"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[0:0:0:0:0:0:0:1]:3000"),
        (
            "https://xn--e1afmkfd.xn--p1ai",
            "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
        ),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "NULL"),
    ],
)
def test_a_page_that_is_listed_is_let_in(origin: str, listed: str) -> None:
    assert lets_in(origin, listed=["https://other.example", listed])
    assert not lets_in(origin, listed=["https://other.example"])


def test_the_host_that_a_proxy_names_is_not_trusted() -> None:
    headers = Headers({"Host": "gate:8765", "Origin": "http://evil.example"})
    headers["X-Forwarded-Host"] = "evil.example"
    headers["Forwarded"] = "host=evil.example"
    assert AllowedOrigins().refusal(headers) is not None


@pytest.mark.parametrize("twice", ["Origin", "Host"])
def test_a_header_that_comes_twice_lets_nobody_in(twice: str) -> None:
    headers = Headers({"Host": "127.0.0.1:8765", "Origin": "http://127.0.0.1:8765"})
    headers[twice] = headers[twice]
    assert AllowedOrigins().refusal(headers) is not None


def test_a_refusal_is_short_and_on_one_line() -> None:
    headers = Headers({"Host": "h" * 5000, "Origin": "http://a\x85" + "o" * 5000})
    refusal = AllowedOrigins().refusal(headers)
    assert refusal is not None and len(refusal) < 600 and refusal.isprintable()


async def status(bench: Bench, origin: str | None, call_id: str = "c1") -> int:
    """Status of an upgrade; 101 when a call can be made."""
    try:
        async with connect(bench.url(), origin=None if origin is None else Origin(origin)) as ws:
            await ws.send(init(call_id))
            await echo_works(ws, call_id)
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_pages_of_other_hosts_cannot_open_a_call_and_one_line_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        caplog.set_level(logging.INFO)
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init("a"))
            own = f"127.0.0.1:{bench.server.port}"
            assert await status(bench, None) == 101
            assert await status(bench, f"http://{own}", "c2") == 101
            assert await status(bench, "http://evil.example") == 403
            text = (
                "call refused: expected no 'Origin', one that GATEWAY_ALLOWED_ORIGINS lists, or a"
                f" page of '{own}' (with https, or at localhost or an address), got"
                " 'http://evil.example'"
            )
            told = [entry for entry in caplog.records if entry.name.endswith("servers.http")]
            assert [entry.getMessage() for entry in told] == [text]
            await echo_works(ws, "a")

    run(test)


def test_pages_that_are_listed_can() -> None:
    async def test() -> None:
        async with serving(allowed_origins=["https://app.example"]) as bench:
            assert await status(bench, "https://app.example") == 101

    run(test)


def test_a_page_that_may_not_call_is_told_so_while_the_models_load() -> None:
    async def test() -> None:
        async with serving(readiness=Readiness("stt")) as bench:
            assert await status(bench, "http://evil.example") == 403
            assert await status(bench, None) == 503

    run(test)

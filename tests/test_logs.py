"""The log: tagged lines, no secrets, no forged lines, quiet about port scanners."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from gateway.logs import LogFormat, configure_logging, log_context

Log = Callable[..., io.StringIO]


@pytest.fixture
def log() -> Log:
    """Configures the log onto a string."""

    def configure(level: str = "INFO", log_format: LogFormat = "text", **more: Any) -> io.StringIO:
        stream = io.StringIO()
        configure_logging(level, log_format, stream=stream, **more)
        return stream

    return configure


def test_a_text_line_names_the_call_turn_and_generation(log: Log) -> None:
    stream = log()
    with log_context(call_id="c1", turn=2), log_context(generation=3):
        logging.getLogger("gateway.x").info("hello %s", "there")
    line = stream.getvalue()
    assert line.endswith("INFO    gateway.x call_id=c1 turn=2 generation=3: hello there\n")


def test_a_json_line_has_the_same_fields(log: Log) -> None:
    stream = log(log_format="json")
    with log_context(call_id="c1"):
        logging.getLogger("gateway.x").warning("привет")
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "WARNING",
        "logger": "gateway.x",
        "call_id": "c1",
        "message": "привет",
    }


def test_the_context_ends_with_its_block_and_reaches_tasks_started_inside(log: Log) -> None:
    stream = log()

    async def speak() -> None:
        logging.getLogger("gateway.x").info("inside")

    async def main() -> None:
        with log_context(call_id="c1"):
            task = asyncio.create_task(speak())
        logging.getLogger("gateway.x").info("outside")
        await task

    asyncio.run(main())
    outside, inside = stream.getvalue().splitlines()
    assert "call_id" not in outside and "call_id=c1: inside" in inside


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_secret_never_appears(log: Log, log_format: LogFormat) -> None:
    stream = log(log_format=log_format, secrets=["sk-verysecret", ""])
    try:
        raise ValueError("bad key sk-verysecret")
    except ValueError:
        logging.getLogger("gateway.x").exception("with sk-verysecret")
    assert "verysecret" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 2


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_secret_that_json_would_escape_never_appears(log: Log, log_format: LogFormat) -> None:
    secret = 'ab"cd\\efgh'
    stream = log(log_format=log_format, secrets=[secret])
    try:
        raise ValueError(f"bad key {secret}")
    except ValueError:
        with log_context(call_id=secret):
            logging.getLogger("gateway.x").exception("with %s", secret)
    assert "efgh" not in stream.getvalue()
    assert stream.getvalue().count("***") == 3


def test_a_secret_that_is_the_name_of_a_field_leaves_the_fields_as_they_are(log: Log) -> None:
    stream = log(log_format="json", secrets=["message"])
    with log_context(turn=2):
        logging.getLogger("gateway.x").info("a message")
    entry = json.loads(stream.getvalue())
    assert (entry["message"], entry["turn"]) == ("a ***", 2)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_is_logged_with_its_traceback(log: Log, log_format: LogFormat) -> None:
    stream = log(log_format=log_format)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("gateway.x").exception("failed")
    assert "Traceback" in stream.getvalue() and "ValueError: why" in stream.getvalue()


def test_a_client_cannot_forge_a_line(log: Log) -> None:
    stream = log()
    with log_context(call_id="c1\n12:00 ERROR"):
        logging.getLogger("gateway.x").info("a\r\nb\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert r"call_id=c1\n12:00 ERROR: a\r\nb\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("sign", ["\x85", "\x9b", "\u2028", "\u202e", "\ud800", "\U000e0001"])
def test_no_sign_that_is_not_printed_stands_in_a_line(
    sign: str, log_format: LogFormat, log: Log
) -> None:
    stream = log(log_format=log_format)
    with log_context(call_id=f"c{sign}1"):
        logging.getLogger("gateway.x").info("привет%s", sign)
    line = stream.getvalue()
    assert line.endswith("\n") and line[:-1].isprintable() and "привет" in line
    if log_format == "json":
        entry = json.loads(line)
        assert entry["call_id"] == f"c{sign}1" and entry["message"] == f"привет{sign}"


def test_lines_below_the_level_are_left_out(log: Log) -> None:
    stream = log("WARNING")
    logging.getLogger("gateway.x").info("quiet")
    assert stream.getvalue() == ""


def test_a_failed_handshake_is_one_line_at_info(log: Log) -> None:
    for level, lines in (("INFO", 1), ("WARNING", 0)):
        stream = log(level)
        logger = logging.getLogger("websockets.server")
        try:
            raise EOFError("connection closed while reading HTTP request line")
        except EOFError:
            logger.error("opening handshake failed", exc_info=True)
        assert len(stream.getvalue().splitlines()) == lines
    stream = log()
    logger.info("connection open")
    logger.error("connection handler failed")
    assert stream.getvalue().endswith("websockets.server: connection handler failed\n")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("library", ["httpx", "httpcore", "httpx2", "httpcore2", "openai"])
def test_addresses_that_an_http_library_asks_do_not_appear(log: Log, library: str) -> None:
    stream = log()
    logging.getLogger(library).info("HTTP Request: POST https://user:pass@chat.example/v1")
    assert stream.getvalue() == ""

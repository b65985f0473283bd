"""The caller's end of the wire, and what is said when no call comes about."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage, InvalidStatus, InvalidURI
from websockets.http11 import Request, Response

from gateway.audio.pcm import decode_s16le
from gateway.simulator.caller import Caller, Patience
from gateway.simulator.client import (
    CallFailed,
    CallRefused,
    CallResult,
    audio_message,
    explain_failure,
    place_call,
    take_message,
)
from tests.simulator.fake_gateway import FakeGateway, audio_out, transcript
from tests.simulator.voices import tone, utterance

URL = "ws://127.0.0.1:8765/"
HASTY = Patience(greeting=0.04, answer=2.0, reply=2.0, pause=0.04, transcript=0.3)


def test_a_frame_goes_out_as_an_audio_message() -> None:
    message = json.loads(audio_message("c1", tone(0.02)))
    assert set(message) == {"type", "callId", "chunk"}
    assert (decode_s16le(base64.b64decode(message["chunk"])) == tone(0.02)).all()


def test_audio_and_transcripts_reach_the_caller() -> None:
    caller = Caller([])
    take_message(caller, "c1", audio_out(), 0.0)
    take_message(caller, "c1", transcript("assistant", "hello"), 0.0)
    assert caller.greeting.assistant_text == "hello"
    assert (caller.greeting.audio == tone(0.1)).all()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("not json", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        ('{"type":"audio_out","callId":"c1","chunk":"%%%"}', "unreadable"),
        ('{"type":"audio_out","callId":"c1","chunk":"\u00e9"}', "unreadable"),
        ("9" * 5000, "unreadable"),
        ("[" * 100_000, "unreadable"),
        ('{"type":"ready","callId":"c1"}', "unexpected message"),
        ('{"type":"transcript","callId":"c1","role":"caller"}', "unexpected message"),
        (audio_out("another"), "unexpected message"),
        ('{"type":"error","callId":"c1","code":"bad_json","message":"no"}', "bad_json: no"),
    ],
)
def test_a_message_nobody_can_use_ends_the_call(message: str | bytes, reason: str) -> None:
    caller = Caller([utterance()])
    take_message(caller, "c1", message, 0.0)
    assert caller.done and reason in (caller.failure or "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "refused"), "voice-gateway serve"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "voice-gateway serve"),
        (InvalidURI("x", "no scheme"), "looks like ws://"),
        (InvalidStatus(Response(503, "", Headers(), b"the gateway is full\n")), "is full"),
        (InvalidStatus(Response(404, "", Headers())), "no such path"),
        (InvalidStatus(Response(401, "", Headers())), "credential"),
        (InvalidStatus(Response(500, "", Headers())), "HTTP status 500"),
        (InvalidMessage("no HTTP"), "does not speak WebSocket"),
        (TimeoutError(), "did not answer"),
        (OSError(113, "No route to host"), "No route to host"),
        (ConnectionResetError(), "no call to ws://127.0.0.1:8765/: ConnectionResetError"),
    ],
)
def test_a_call_that_never_began_is_explained(error: OSError, reason: str) -> None:
    assert reason in explain_failure(URL, error)


def call_fake(gateway: FakeGateway) -> CallResult:
    async def run() -> CallResult:
        async with serve(gateway.handle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await place_call(
                f"ws://127.0.0.1:{port}/",
                [utterance(speech_s=0.04, tail_s=0.0)],
                language="ru",
                call_id="c1",
                patience=HASTY,
            )

    return asyncio.run(run())


def test_a_call_from_init_to_hanging_up() -> None:
    transcripts = [transcript("caller", "hello there"), transcript("assistant", "good day")]
    gateway = FakeGateway([*[audio_out()] * 4, *transcripts])
    result = call_fake(gateway)
    assert gateway.inits == [{"type": "init", "callId": "c1", "languageHint": "ru"}]
    (turn,) = result.turns
    assert (turn.caller_text, turn.assistant_text) == ("hello there", "good day")
    assert turn.audio.size == 4 * tone(0.1).size
    assert result.greeting is None and result.failure is None


def test_a_question_that_comes_because_nothing_was_heard_is_no_answer() -> None:
    result = call_fake(FakeGateway([audio_out(), transcript("assistant", "Are you still there?")]))
    assert result.failure is not None and "no words were heard" in result.failure
    assert result.turns[0].assistant_text == "Are you still there?"


def test_a_call_goes_to_the_gateway_whatever_proxy_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    gateway = FakeGateway([audio_out()])
    assert call_fake(gateway).turns and gateway.inits


def test_a_line_the_gateway_closes_is_a_failure_with_its_code() -> None:
    result = call_fake(FakeGateway([], close_code=1011))
    assert result.failure == "the gateway closed the call with code 1011 (because)"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:99999999/", "ws://a..b/", "http://127.0.0.1/"])
def test_an_address_that_cannot_be_is_explained(url: str) -> None:
    with pytest.raises(CallFailed, match="is no WebSocket address; it looks like ws://"):
        asyncio.run(place_call(url, [utterance()]))


def test_a_gateway_that_refuses_calls_is_explained() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(503, "the gateway is full\n")

    async def run() -> None:
        handle = FakeGateway([]).handle
        async with serve(handle, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            await place_call(f"ws://127.0.0.1:{port}/", [utterance()])

    with pytest.raises(CallRefused, match="the gateway is full"):
        asyncio.run(run())

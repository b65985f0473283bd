"""Calls over a real socket: what reaches them, and what bad input does not break."""

from __future__ import annotations

import json

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.events import CallStarted, OptionsChanged
from gateway.servers.connection import EdgeLimits
from tests.servers.harness import (
    audio,
    close_code,
    echo_works,
    error_code,
    init,
    message,
    run,
    serving,
)


@pytest.mark.parametrize("path", ["/", "/call", "/call?token=x"])
def test_a_call_gets_its_events_and_its_audio_comes_back(path: str) -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect(path) as ws:
            await ws.send(init(languageHint="ru"))
            await echo_works(ws)
            await ws.send(init(languageHint="en"))
            events = await bench.calls["c1"].received(3)
            assert events[0] == CallStarted("ru")
            assert events[2] == OptionsChanged("en")
            assert bench.calls["c1"].transport.max_lead_s == 0.1

    run(test)


def test_a_transcript_is_sent_with_exactly_the_given_fields() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            bench.calls["c1"].transport.send_transcript("assistant", "Привет", 1)
            assert await message(ws) == {
                "type": "transcript",
                "callId": "c1",
                "role": "assistant",
                "text": "Привет",
            }

    run(test)


def test_words_that_are_not_final_are_sent_to_the_call_that_asked_for_them() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init("a", ext=["interim"]))
            await ws.send(init("b"))
            assert (await message(ws))["type"] == "ready"
            await echo_works(ws, "b")
            asked, other = (bench.calls[name].transport for name in ("a", "b"))
            assert (asked.wants_partials, other.wants_partials) == (True, False)
            for transport in (other, asked):
                transport.send_partial("Привет", 1, "ru")
            assert await message(ws) == {
                "type": "transcript",
                "callId": "a",
                "role": "caller",
                "text": "Привет",
                "final": False,
                "utteranceId": "u1",
                "rev": 1,
                "lang": "ru",
            }

    run(test)


def test_no_audio_makes_no_message() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await echo_works(ws)
            bench.calls["c1"].transport.send_audio(np.zeros(0, dtype=np.int16))
            await echo_works(ws)

    run(test)


def test_several_calls_share_a_socket() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            for call_id in ("a", "b", "c"):
                await ws.send(init(call_id))
            for call_id in ("b", "a", "c", "b"):
                await echo_works(ws, call_id)
            assert bench.registry.active == 3
        assert [call.end for call in bench.calls.values()] == ["closed"] * 3

    run(test)


BAD_INPUT: list[tuple[str | bytes, str]] = [
    ("{nonsense", "bad_json"),
    ("[1, 2]", "bad_message"),
    (json.dumps({"type": "dtmf", "callId": "c1"}), "bad_message"),
    (json.dumps({"callId": "c1"}), "bad_message"),
    (json.dumps({"type": "init"}), "bad_message"),
    (json.dumps({"type": "init", "callId": 42}), "bad_message"),
    (json.dumps({"type": "init", "callId": "c1", "languageHint": []}), "bad_message"),
    (json.dumps({"type": "audio", "callId": "c1"}), "bad_message"),
    (json.dumps({"type": "audio", "callId": "c1", "chunk": "?!"}), "bad_audio"),
    (audio("never opened"), "not_initialised"),
    (bytes(640), "bad_message"),
]


@pytest.mark.parametrize(("bad", "code"), BAD_INPUT)
def test_bad_input_is_answered_and_no_call_is_disturbed(bad: str | bytes, code: str) -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as beside:
            await beside.send(init("beside"))
            await ws.send(init("c1"))
            await echo_works(ws, "c1")
            await ws.send(bad)
            assert await error_code(ws) == code
            await echo_works(ws, "c1")
            await echo_works(beside, "beside")
            assert bench.server.counters["violations"] == 1

    run(test)


def test_an_odd_byte_is_answered_after_the_rest_was_used() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await ws.send(json.dumps({"type": "audio", "callId": "c1", "chunk": "AQACAAM="}))
            assert (await message(ws))["chunk"] == "AQACAA=="
            assert await error_code(ws) == "bad_audio"
            await echo_works(ws)

    run(test)


def test_an_empty_chunk_is_ignored_silently() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            await ws.send(json.dumps({"type": "audio", "callId": "c1", "chunk": ""}))
            await echo_works(ws)

    run(test)


def test_audio_before_init_reaches_the_call() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws:
            await ws.send(audio())
            assert await error_code(ws) == "not_initialised"
            await ws.send(init())
            assert (await message(ws))["type"] == "audio_out"
            await echo_works(ws)

    run(test)


def test_audio_much_faster_than_real_time_is_answered_once() -> None:
    async def test() -> None:
        second = np.zeros(16_000, dtype=np.int16)
        async with serving() as bench, bench.connect() as ws:
            await ws.send(init())
            for _ in range(14):
                await ws.send(audio("c1", second))
            kinds = [(await message(ws))["type"] for _ in range(11)]
            assert kinds == ["audio_out"] * 10 + ["error"]

    run(test)


def test_a_socket_that_sends_no_json_at_all_is_closed() -> None:
    async def test() -> None:
        async with serving() as bench, bench.connect() as ws, bench.connect() as beside:
            await beside.send(init("beside"))
            for _ in range(11):
                await ws.send("GET / HTTP/1.1")
            assert [await error_code(ws) for _ in range(11)] == ["bad_json"] * 11
            assert await close_code(ws) == 1007
            await echo_works(beside, "beside")

    run(test)


def test_a_message_that_is_too_large_closes_its_socket_only() -> None:
    async def test() -> None:
        limits = EdgeLimits(max_message=4096)
        async with serving(limits=limits) as bench, bench.connect() as ws:
            async with bench.connect() as beside:
                await beside.send(init("beside"))
                await ws.send(init())
                await ws.send(audio("c1", np.zeros(8000, dtype=np.int16)))
                assert await close_code(ws) == 1009
                await bench.calls["c1"].returned.wait()
                await echo_works(beside, "beside")

    run(test)


def test_random_bytes_on_one_socket_do_not_reach_the_call_on_another() -> None:
    async def test() -> None:
        noise = np.random.default_rng(1)
        async with serving() as bench, bench.connect() as beside:
            await beside.send(init("beside"))
            for _ in range(20):
                async with bench.connect() as ws:
                    try:
                        for _ in range(10):
                            await ws.send(noise.bytes(40).decode("latin-1"))
                    except ConnectionClosed:
                        pass
                await echo_works(beside, "beside")
            assert len(bench.calls["beside"].events) == 21

    run(test)

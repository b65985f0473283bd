"""The whole gateway with the starter models, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import app
from gateway.app import Gateway
from gateway.audio.pcm import Samples, encode_s16le
from gateway.calls.load import LoadSampler
from gateway.calls.records import TurnRecord
from gateway.calls.session import CallSession
from gateway.engines.base import ChatRequest
from gateway.errors import ChatError, ConfigError, ModelError
from gateway.loading import served_profile
from gateway.settings import Settings, load_settings
from gateway.simulator.client import CallResult, place_call
from gateway.simulator.conversations import Conversation, load_conversations

Body = Callable[[Gateway], Coroutine[Any, Any, None]]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The starter models on a free port."""
    monkeypatch.setenv("GATEWAY_PORT", "0")
    return load_settings(None)


def serve(settings: Settings, body: Body) -> list[TurnRecord]:
    """Run ``body`` against a gateway that is ready; returns the turns it told of."""
    turns: list[TurnRecord] = []

    async def main() -> None:
        async with Gateway(settings, on_turn=turns.append) as gateway:
            await gateway.ready()
            async with asyncio.timeout(120):
                await body(gateway)

    asyncio.run(main())
    return turns


def conversation(language: str) -> Conversation:
    return next(c for c in load_conversations() if c.language == language)


async def demo_call(gateway: Gateway, language: str, lines: int = 1) -> CallResult:
    recordings = conversation(language).recordings()[:lines]
    return await place_call(gateway.url, recordings, language=language)


def said(result: CallResult) -> list[str]:
    return [turn.caller_text for turn in result.turns]


def test_caller_in_each_language_is_greeted_understood_and_answered_at_the_same_time(
    settings: Settings,
) -> None:
    results: dict[str, CallResult] = {}

    async def body(gateway: Gateway) -> None:
        async def call(language: str) -> None:
            results[language] = await demo_call(gateway, language, lines=2)

        async with asyncio.TaskGroup() as calls:
            for language in settings.languages:
                calls.create_task(call(language))

    turns = serve(settings, body)
    profile = served_profile(settings)
    for language, result in results.items():
        assert result.failure is None
        assert result.greeting is not None
        assert result.greeting.assistant_text == profile[language].greeting
        assert all(said(result)), "every turn was understood as something"
        assert all(turn.assistant_text for turn in result.turns)
        assert said(result)[0] == conversation(language).lines[0].text
    assert {turn.language for turn in turns} == set(settings.languages)


def test_stages_of_each_turn_add_up_to_its_voice_to_voice_latency(settings: Settings) -> None:
    async def body(gateway: Gateway) -> None:
        await demo_call(gateway, "en", lines=2)

    turns = [turn for turn in serve(settings, body) if turn.turn]
    assert len(turns) == 2
    for turn in turns:
        assert turn.latency is not None
        stages = turn.latency
        assert min(stages.stt_ms, stages.chat_ms, stages.tts_ms) >= 0
        parts = (stages.endpoint_ms, stages.stt_ms, stages.chat_ms, stages.tts_ms, stages.send_ms)
        assert sum(parts) == pytest.approx(stages.voice_to_voice_ms)
        # Speech ends at a frame, and frames of 20 ms come a little early or late.
        assert stages.voice_to_voice_ms >= settings.turn_complete_ms - 20


def test_language_is_detected_when_the_client_gives_no_hint(settings: Settings) -> None:
    results: list[CallResult] = []

    async def body(gateway: Gateway) -> None:
        recordings = conversation("ru").recordings()[:1]
        results.append(await place_call(gateway.url, recordings, language="auto"))

    turns = [turn for turn in serve(settings, body) if turn.turn]
    assert said(results[0]) == [conversation("ru").lines[0].text]
    assert [turn.language for turn in turns] == ["ru"]


def test_pages_tell_when_the_models_are_loaded_and_calls_before_that_are_refused(
    settings: Settings,
) -> None:
    async def main() -> None:
        async with Gateway(settings) as gateway:
            assert (await page(gateway, "/healthz"))[0] == 200
            assert (await page(gateway, "/readyz"))[0] == 503
            with pytest.raises(InvalidStatus) as refused:
                await connect(gateway.url)
            assert refused.value.response.status_code == 503
            await gateway.ready()
            assert (await page(gateway, "/readyz"))[0] == 200

    asyncio.run(main())


async def page(gateway: Gateway, path: str) -> tuple[int, str]:
    """Status and body of a GET."""
    host, port = gateway.url.removeprefix("ws://").rstrip("/").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, text = answer.partition("\r\n\r\n")
    return int(head.split()[1]), text


def audio(samples: Samples, call_id: str = "bad") -> str:
    chunk = base64.b64encode(encode_s16le(samples)).decode()
    return json.dumps({"type": "audio", "callId": call_id, "chunk": chunk})


def init(call_id: str = "bad") -> str:
    return json.dumps({"type": "init", "callId": call_id, "languageHint": "en"})


NOISE = np.random.default_rng(5).normal(0, 3000, 16_000).astype(np.int16)
SECOND = np.zeros(16_000, dtype=np.int16)

MISBEHAVIOUR: dict[str, list[str | bytes]] = {
    "garbage": ["{", "[]", "null", '{"type": 3}', '{"type": "dance"}', b"\x00\x01"],
    "wrong fields": [
        '{"type": "init"}',
        '{"type": "init", "callId": 7}',
        '{"type": "audio", "callId": "nobody", "chunk": "AAAA"}',
        init(),
        init(),
        '{"type": "audio", "callId": "bad"}',
        '{"type": "audio", "callId": "bad", "chunk": "!!!"}',
        '{"type": "audio", "callId": "bad", "chunk": "AAAA"}',
        '{"type": "audio", "callId": "bad", "chunk": ""}',
    ],
    "60 s of silence at once": [init(), *[audio(SECOND)] * 60],
    "60 s of noise at once": [init(), *[audio(NOISE)] * 60],
    "vanishes in mid-word": [init(), audio(NOISE)],
}


def test_misbehaving_clients_do_not_disturb_a_good_call_beside_them(settings: Settings) -> None:
    results: list[CallResult] = []

    async def misbehave(url: str, messages: list[str | bytes]) -> None:
        socket = await connect(url, max_size=None)
        try:
            for message in messages:
                await socket.send(message)
        except ConnectionClosed:
            pass
        socket.transport.abort()

    async def too_large(url: str) -> None:
        socket = await connect(url, max_size=None)
        with pytest.raises(ConnectionClosed):
            await socket.send("x" * 10_000_000)
            await socket.recv()
        assert socket.close_code == 1009

    async def body(gateway: Gateway) -> None:
        async with asyncio.TaskGroup() as tasks:
            good = tasks.create_task(demo_call(gateway, "en", lines=2))
            for messages in MISBEHAVIOUR.values():
                tasks.create_task(misbehave(gateway.url, messages))
            tasks.create_task(too_large(gateway.url))
            results.append(await good)

    serve(settings, body)
    assert results[0].failure is None
    assert results[0].underruns == 0
    assert said(results[0]) == [line.text for line in conversation("en").lines[:2]]


def test_two_calls_on_one_socket_are_told_apart_by_call_id(settings: Settings) -> None:
    lines = {code: conversation(code).recordings()[0].samples for code in ("en", "ru")}
    heard: dict[str, list[tuple[str, str]]] = {"en": [], "ru": []}
    audio_calls: set[str] = set()

    async def listen(socket: ClientConnection) -> None:
        async for message in socket:
            told = json.loads(message)
            if told["type"] == "transcript":
                heard[told["callId"]].append((told["role"], told["text"]))
            else:
                audio_calls.add(told["callId"])
            if all(len(texts) == 3 for texts in heard.values()):
                return

    async def speak(socket: ClientConnection) -> None:
        for code in lines:
            hint = {"type": "init", "callId": code, "languageHint": code}
            await socket.send(json.dumps(hint))
        start = asyncio.get_running_loop().time()
        longest = max(len(samples) for samples in lines.values())
        for frame in range(10_000):
            due = start + frame * 0.02
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            # After the greeting, each says one sentence; then the line stays open and silent.
            at = frame * 320 - 16_000 * 6
            for code, samples in lines.items():
                spoken = samples[max(0, at) : max(0, at + 320)] if at < longest else SECOND[:0]
                chunk = np.zeros(320, dtype=np.int16)
                chunk[: len(spoken)] = spoken
                await socket.send(audio(chunk, code))

    async def body(gateway: Gateway) -> None:
        async with connect(gateway.url) as socket:
            speaking = asyncio.create_task(speak(socket))
            await listen(socket)
            speaking.cancel()

    serve(settings, body)
    for code, texts in heard.items():
        assert [role for role, _ in texts] == ["assistant", "caller", "assistant"]
        assert texts[1][1] == conversation(code).lines[0].text
    assert audio_calls == {"en", "ru"}


def sessions() -> list[object]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is CallSession]


def test_nothing_of_a_call_is_left_once_its_socket_is_closed(settings: Settings) -> None:
    async def body(gateway: Gateway) -> None:
        async def call(number: int) -> None:
            async with connect(gateway.url) as socket:
                await socket.send(init(f"call-{number}"))
                await socket.recv()
                await socket.send(audio(NOISE, f"call-{number}"))

        async def settle() -> int:
            """Number of tasks once no call is left; asks for a page while threads end."""
            async with asyncio.timeout(10):
                while sessions():
                    assert (await page(gateway, "/healthz"))[0] == 200
            return len(asyncio.all_tasks())

        await call(0)
        tasks = await settle()
        for number in range(1, 6):
            await call(number)
        assert await settle() == tasks

    serve(settings, body)


def test_failing_chat_model_is_apologised_for_and_the_call_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.engines.llama import LlamaChat

    genuine = LlamaChat.stream

    async def fails_in_first_turn(self: LlamaChat, request: ChatRequest) -> Any:
        # Any number of speculative replies, and the one that counts.
        if sum(message.role == "user" for message in request.messages) == 1:
            raise ChatError("out of order")
        async for piece in genuine(self, request):
            yield piece

    results: list[CallResult] = []

    async def body(gateway: Gateway) -> None:
        monkeypatch.setattr(LlamaChat, "stream", fails_in_first_turn)
        results.append(await demo_call(gateway, "en", lines=2))

    serve(settings, body)
    apology = served_profile(settings)["en"].apology
    first, second = results[0].turns
    assert first.assistant_text == apology
    assert second.assistant_text not in ("", apology)


def test_every_model_that_is_missing_is_reported_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STT_MODEL", "/nowhere/stt")
    monkeypatch.setenv("LLM_MODEL", "/nowhere/model.gguf")

    async def main() -> None:
        async with Gateway(load_settings(None)) as gateway:
            await gateway.ready()

    with pytest.raises(ConfigError) as caught:
        asyncio.run(main())
    assert "/nowhere/stt" in str(caught.value)
    assert "/nowhere/model.gguf" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModelError)


def test_a_signal_to_stop_is_obeyed_while_the_models_load(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process of a container ends by no signal that it does not handle."""

    async def never(*_args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    for name in ("load_transcriber", "load_voices", "load_chat"):
        monkeypatch.setattr(app, name, never)

    async def main() -> None:
        async with asyncio.timeout(10), Gateway(settings) as gateway:
            await gateway.serve_until_stopped()

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # or the tests would end with it
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once_while_a_call_goes_on(
    tmp_path: Path, second: signal.Signals
) -> None:
    async def line_with(lines: asyncio.StreamReader, text: str) -> str:
        while text not in (line := (await lines.readline()).decode()):
            assert line, f"the gateway ended before it logged {text!r}"
        return line

    async def main() -> None:
        changes = {"GATEWAY_PORT": "0", "GATEWAY_DRAIN_TIMEOUT_S": "600", "LOG_LEVEL": "INFO"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            cwd=tmp_path,
            env={**os.environ, **changes},
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(120):
                listening = await line_with(process.stderr, "listening on ")
                await line_with(process.stderr, "ready for calls")
                async with connect(listening.split()[-1]) as socket:
                    await socket.send(init())
                    await socket.recv()  # the greeting has begun
                    process.send_signal(signal.SIGINT)
                    await line_with(process.stderr, "stopping")
                    process.send_signal(second)
                    assert await process.wait() == 128 + second
            assert await process.stderr.read() == b"", "no traceback"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    asyncio.run(main())


def test_profile_without_a_served_language_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[en]\nname = "A"\nopen = "b"\naddress = "c"\napology = "d"\n')
    monkeypatch.setenv("BUSINESS_PROFILE", str(path))
    with pytest.raises(ConfigError, match=r"lacks \[ar\], \[ru\]"):
        Gateway(load_settings(None))


def test_fault_of_the_load_sampler_is_logged_when_it_happens_and_calls_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: LoadSampler) -> None:
        raise RuntimeError("no figures")

    monkeypatch.setattr(LoadSampler, "run", fails)

    async def body(gateway: Gateway) -> None:
        assert "the task 'sample load' failed: no figures" in caplog.text
        result = await demo_call(gateway, "en")
        assert result.turns[0].assistant_text

    serve(settings, body)


def test_more_calls_than_the_process_may_have_connections_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "files_allowed", lambda wanted: min(wanted, 1024))
    Gateway(settings.model_copy(update={"gateway_max_calls": 768}))
    assert caplog.text == ""
    Gateway(settings.model_copy(update={"gateway_max_calls": 769}))
    assert "GATEWAY_MAX_CALLS=769, but there can be 768 connections" in caplog.text

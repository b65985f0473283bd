"""The benchmark itself: which calls are placed, over a real socket, and what is written."""

from __future__ import annotations

import asyncio
import json
import socket
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.app import Gateway
from gateway.bench.cli import app
from gateway.bench.played_call import PlayedCall
from gateway.bench.turns import (
    PreparedCall,
    RecordLog,
    TurnsBenchmark,
    in_languages,
    longest,
    select,
)
from gateway.bench.turns_report import turns_report
from gateway.errors import ConfigError, GatewayError
from gateway.settings import Settings
from gateway.simulator.client import CallFailed
from gateway.simulator.scenario import Call, Expect, Part, Turn
from gateway.simulator.scenario_caller import CallerPatience
from gateway.simulator.scenario_file import Scenario, ScenarioError
from tests.bench.test_turns_report import RECORD
from tests.simulator.fake_gateway import FakeGateway, audio_out, transcript
from tests.simulator.scripted import spoken

SET = '[[call]]\nname = "x"\nlanguage = "en"\nturn = [{ say = "Where are you located?" }]\n'
HASTY = CallerPatience(greeting=0.04, answer=2.0, reply=2.0, untold=0.3, last=0.02)


def scenario(name: str, turns: int = 1) -> Scenario:
    return Scenario(Call(name=name, language="en", turn=(Turn(say="Hi."),) * turns), Path())


def prepared(name: str, turns: int = 1) -> PreparedCall:
    call = scenario(name, turns)
    return PreparedCall(call, [spoken(turn) for turn in call.call.turn])


def test_calls_are_chosen_by_name_and_number() -> None:
    calls = [scenario(name) for name in ("en-pause", "en-noise", "ru-pause")]
    assert [s.name for s in select(calls, None, 2)] == ["en-pause", "en-noise"]
    assert [s.name for s in select(calls, "pause", None)] == ["en-pause", "ru-pause"]
    assert [s.name for s in select(calls, "en-*", 1)] == ["en-pause"]
    with pytest.raises(ScenarioError, match="got 'fr-'"):
        select(calls, "fr-", None)


def test_calls_are_left_out_that_need_a_language_which_is_not_served() -> None:
    turn = Turn(say="Hi.")
    english = Call(name="en", language="en", turn=(turn,))
    others = [
        Call(name="language", language="ar", turn=(turn,)),
        Call(name="hint", language="en", hint="ar", turn=(turn,)),
        Call(name="turn", language="en", turn=(Turn(say="Hi.", language="ar"),)),
        Call(
            name="reply", language="en", turn=(Turn(say="Hi", expect=Expect(reply_language="ar")),)
        ),
        Call(name="part", language="en", turn=(Turn(say=(Part(text="Hi", language="ar"),)),)),
    ]
    calls = [Scenario(call, Path()) for call in [english, *others]]
    assert [s.name for s in in_languages(calls, ("en", "ru"))] == ["en"]
    assert len(in_languages(calls, ("en", "ar"))) == 6
    with pytest.raises(ScenarioError, match="languages served \\(ru\\)"):
        in_languages(calls, ("ru",))


def test_the_longest_call_is_placed_first() -> None:
    calls = [prepared("short"), prepared("long", 3)]
    assert [call.scenario.name for call in longest(calls)] == ["long", "short"]


def test_records_are_kept_by_call() -> None:
    log = RecordLog()
    log.add(RECORD)
    assert log.of_call("x") == [RECORD] and log.of_call("y") == []


def test_calls_are_placed_over_a_real_socket() -> None:
    replies = [transcript("caller", "hi", "bench-1"), audio_out("bench-1"), audio_out("bench-1")]
    seen: list[PlayedCall] = []

    async def run() -> list[PlayedCall]:
        async with serve(FakeGateway(replies).handle, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            return await TurnsBenchmark(url, 1, None, seen.append, HASTY).run([prepared("x")])

    played = asyncio.run(run())
    report = turns_report(played)
    assert seen == played and played[0].caller.failure is None
    assert report["turns"] == report["voice_to_voice_ms"]["n"] == 1
    assert report["wer"] == {"en": 0.0}


def test_a_call_that_cannot_be_placed_is_one_clear_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(CallFailed, match="voice-gateway serve"):
            asyncio.run(TurnsBenchmark(url, 2).run([prepared("x"), prepared("y")]))


def test_a_refused_call_is_a_failed_one_and_the_others_are_played() -> None:
    answers = [transcript("caller", "hi", "bench-2"), audio_out("bench-2"), audio_out("bench-2")]
    asked = count(1)

    def refuse_first(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(503, "full\n") if next(asked) == 1 else None

    async def run() -> list[PlayedCall]:
        fake = FakeGateway(answers)
        async with serve(fake.handle, "127.0.0.1", 0, process_request=refuse_first) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            calls = [prepared("long", 3), prepared("short")]
            return await TurnsBenchmark(url, 1, patience=HASTY).run(calls)

    report = turns_report(asyncio.run(run()))
    ((name, failure),) = report["failed_calls"].items()
    assert name == "1. long, run 1" and "takes no calls now (503): full" in failure
    assert report["turns_not_played"] == 3
    assert report["turns"] == report["voice_to_voice_ms"]["n"] == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [(503, "takes no calls now"), (None, "measures the greeting broke off: .* code 1011")],
)
def test_a_greeting_that_cannot_be_listened_to_is_one_clear_failure(
    status: int | None, message: str
) -> None:
    turn = Turn(kind="interruption", say="Stop.", before_end_ms=300)
    call = Scenario(Call(name="x", language="en", turn=(turn,)), Path())
    seen: list[PlayedCall] = []

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return None if status is None else connection.respond(status, "full\n")

    async def break_off(connection: ServerConnection) -> None:
        await connection.close(1011)

    async def run() -> None:
        async with serve(break_off, "127.0.0.1", 0, process_request=refuse) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            benchmark = TurnsBenchmark(url, 1, None, seen.append, HASTY)
            await benchmark.run([PreparedCall(call, [spoken(turn)])])

    with pytest.raises(CallFailed, match=message):
        asyncio.run(run())
    assert [played.run for played in seen] == [0]


def test_its_own_gateway_refuses_nobody_and_asks_nobody_to_hold_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Settings] = []

    def begin(settings: Settings, **_: object) -> Gateway:
        begun.append(settings)
        raise GatewayError("enough")

    monkeypatch.setattr("gateway.app.Gateway", begin)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOAD_SPECULATION_MS", "99")
    monkeypatch.setenv("LOAD_PARTIALS_MS", "120")
    (tmp_path / "set.toml").write_text(SET)
    CliRunner().invoke(app, ["turns", "--scenarios", str(tmp_path), "--calls", "60"])
    [own] = begun
    assert (own.acknowledge_after_ms, own.load_refuse_ms) == (0, 0)
    assert own.gateway_max_calls > 60
    # What is given up under load is given up here too.
    assert (own.load_speculation_ms, own.load_partials_ms) == (99, 120)


def test_a_report_that_cannot_be_written_is_refused_before_a_word_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.bench.turns.prepare", None)
    (tmp_path / "set.toml").write_text(SET)
    options = ["turns", "--virtual", "--scenarios", str(tmp_path)]
    result = CliRunner().invoke(app, [*options, "--json", str(tmp_path / "no" / "turns.json")])
    assert isinstance(result.exception, ConfigError) and "no folder" in str(result.exception)


def test_the_turns_are_shown_even_if_they_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("gateway.bench.report.check_place", lambda file: None)
    (tmp_path / "set.toml").write_text(SET)
    options = ["turns", "--virtual", "--scenarios", str(tmp_path)]
    result = CliRunner().invoke(app, [*options, "--json", str(tmp_path / "no" / "turns.json")])
    assert isinstance(result.exception, ConfigError) and "voice to voice" in result.output


def test_calls_in_languages_that_are_not_served_are_left_out_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("GATEWAY_LANGUAGES", "en")
    arabic = SET.replace('"x"', '"y"').replace('"en"', '"en"\nhint = "ar"')
    (tmp_path / "set.toml").write_text(SET + arabic)
    figures = tmp_path / "turns.json"
    options = ["turns", "--virtual", "--scenarios", str(tmp_path), "--json", str(figures)]
    result = CliRunner().invoke(app, options, catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(figures.read_text(encoding="utf-8"))["calls"] == 1
    assert "left out 1 of 2 calls: not in GATEWAY_LANGUAGES=en" in result.output


def test_a_set_can_be_played_virtually_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "set.toml").write_text(SET)
    figures = tmp_path / "turns.json"
    options = ["turns", "--virtual", "--scenarios", str(tmp_path), "--json", str(figures)]
    result = CliRunner().invoke(app, options, catch_exceptions=False)
    assert result.exit_code == 0 and "voice to voice" in result.output
    report = json.loads(figures.read_text(encoding="utf-8"))
    assert report["turns"] == 1 and report["missed_turns"] == 0
    assert report["machine"]["physical_cores"] >= 1
    assert report["rows"][0]["said"] == "Where are you located?"

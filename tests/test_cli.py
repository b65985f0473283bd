"""The command line: help that teaches, and one clear message for each failure."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.app import Gateway
from gateway.calls.records import TurnRecord
from gateway.cli import app, main
from gateway.doctor import Finding
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.simulator.caller import Exchange
from gateway.simulator.client import CallResult
from gateway.simulator.conversations import load_conversations
from gateway.simulator.demo import TurnLog

EXAMPLE = Path(__file__).parent.parent / ".env.example"
COMMANDS = ["serve", "call", "demo", "doctor"]


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """Exit status of the command line as a shell sees it."""
    monkeypatch.setattr(sys, "argv", ["voice-gateway", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def a_recording() -> str:
    return str(load_conversations()[0].lines[0].path)


def test_help_names_every_command_and_shows_examples() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(command in result.output for command in COMMANDS)
    assert "voice-gateway demo --once" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_settings_that_cannot_work_are_told_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_PORT", "abc")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    assert run(monkeypatch, "serve") == 2
    shown = capsys.readouterr().err
    assert "GATEWAY_PORT" in shown and "LOG_FORMAT" in shown
    assert "Traceback" not in shown


def test_a_call_to_nobody_says_how_to_start_the_gateway(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/"
        assert run(monkeypatch, "call", a_recording(), "--url", url) == 1
    assert "voice-gateway serve" in capsys.readouterr().err


def test_a_demo_that_cannot_save_its_calls_says_so_before_it_loads_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def begin(*_: object, **__: object) -> Gateway:
        raise GatewayError("models are loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.app.Gateway", begin)
    (tmp_path / "file").write_text("no folder")
    assert run(monkeypatch, "demo", "--once", "--save-dir", "file/calls") == 2
    shown = capsys.readouterr().err
    assert "file/calls" in shown and "--save-dir" in shown


def test_what_doctor_finds_has_no_power_over_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = Finding("model", "ok", "of \x1b[2J a licence")
    monkeypatch.setattr("gateway.doctor.run_checks", lambda _: iter([found]))
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"}).output
    assert r"of \x1b[2J a licence" in shown and "\x1b[2J" not in shown


def test_a_copy_of_the_example_leaves_the_output_of_demo_and_doctor_free_of_log_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    levels: list[str] = []

    def begin(*_: object, **__: object) -> Gateway:
        raise GatewayError("enough")

    monkeypatch.setattr(
        "gateway.logs.configure_logging", lambda level, *_, **__: levels.append(level)
    )
    monkeypatch.setattr("gateway.app.Gateway", begin)
    monkeypatch.setattr("gateway.doctor.run_checks", lambda _: iter(()))
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, ".env")
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
    for command in ("demo", "serve"):
        assert run(monkeypatch, command) == 1
    assert levels == ["WARNING", "WARNING", "INFO"]


def test_the_demo_is_held_without_acknowledgements_unless_it_goes_on_to_serve(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    begun: list[Settings] = []

    def begin(settings: Settings, **_: object) -> Gateway:
        begun.append(settings)
        raise GatewayError("enough")

    monkeypatch.setattr("gateway.app.Gateway", begin)
    monkeypatch.setenv("ACKNOWLEDGE_AFTER_MS", "1500")
    assert run(monkeypatch, "demo", "--once") == 1
    assert run(monkeypatch, "demo") == 1
    assert [settings.acknowledge_after_ms for settings in begun] == [0, 1500]


def test_a_demo_that_goes_on_to_serve_keeps_nothing_of_the_calls_that_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    turns = TurnLog()
    known: list[list[int]] = []

    class FakeGateway:
        url = "ws://127.0.0.1:8765/"

        async def ready(self) -> None:
            pass

        async def serve_until_stopped(self) -> None:
            known.append(list(turns.of_call("c1")))
            add_turn(2)
            known.append(list(turns.of_call("c1")))

    class FakeDemo:
        def __init__(self, *_: object) -> None:
            pass

        async def run(self, _: object) -> bool:
            add_turn(1)
            known.append(list(turns.of_call("c1")))
            return True

    def add_turn(number: int) -> None:
        turns.add(TurnRecord("c1", number, "en", "hello", "good day", False, False, None, None))

    @asynccontextmanager
    async def begin(*_: object, **__: object) -> AsyncIterator[FakeGateway]:
        yield FakeGateway()

    monkeypatch.setattr("gateway.app.Gateway", begin)
    monkeypatch.setattr("gateway.simulator.demo.open_listener", begin)
    monkeypatch.setattr("gateway.simulator.demo.Demo", FakeDemo)
    monkeypatch.setattr("gateway.simulator.demo.TurnLog", lambda: turns)
    assert run(monkeypatch, "demo") == 0
    assert known == [[1], [], []]


def test_words_that_a_terminal_has_no_signs_for_are_escaped_and_the_call_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def held(*_: object, on_exchange: Callable[[Exchange], None], **__: object) -> CallResult:
        on_exchange(Exchange(None, assistant_text="مرحبا"))
        on_exchange(Exchange(None, assistant_text="welcome"))
        silence = np.zeros(320, dtype=np.int16)
        return CallResult("c1", "en", None, (), silence, silence, 0, 0.0, None)

    terminal = TextIOWrapper(BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr("gateway.simulator.client.place_call", held)
    assert run(monkeypatch, "call", a_recording(), "--url", "ws://127.0.0.1:8765/") == 0
    terminal.seek(0)
    escaped = "مرحبا".encode("ascii", "backslashreplace").decode()
    assert terminal.read().split() == ["assistant", escaped, "assistant", "welcome"]


def test_a_call_that_cannot_be_saved_is_printed_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def held(*_: object, **__: object) -> CallResult:
        silence = np.zeros(320, dtype=np.int16)
        return CallResult("c1", "en", None, (), silence, silence, 0, 0.0, None)

    monkeypatch.setattr("gateway.simulator.client.place_call", held)
    there = ["--url", "ws://127.0.0.1:8765/", "--json", "--save", str(tmp_path)]
    assert run(monkeypatch, "call", a_recording(), *there) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["language"] == "en"
    assert shown.err.strip() == f"error: {tmp_path}: cannot be written (Is a directory)"


def test_a_file_that_is_no_wav_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3 la la la")
    assert run(monkeypatch, "call", str(tmp_path / "song.mp3")) == 1
    assert "not a WAV file" in capsys.readouterr().err


def test_a_complaint_does_nothing_to_the_terminal_and_keeps_its_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path) -> None:
        raise GatewayError("one \x1b]0;x\x07[b]\ntwo\r")

    monkeypatch.setattr("gateway.simulator.recording.load_recording", fail)
    assert run(monkeypatch, "call", a_recording()) == 1
    assert capsys.readouterr().err == "error: one \\x1b]0;x\\x07[b]\ntwo\\r\n"


def test_an_unknown_language_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["call", "a.wav", "--language", "fr"])
    assert result.exit_code == 2
    assert all(known in result.output for known in ("auto", "en", "ar", "ru"))


@pytest.mark.parametrize(("host", "there"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
def test_the_configured_gateway_is_called_where_a_client_reaches_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    host: str,
    there: str,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GATEWAY_HOST", host)
        monkeypatch.setenv("GATEWAY_PORT", port)
        assert run(monkeypatch, "call", a_recording()) == 1
    assert f"ws://{there}:{port}/" in capsys.readouterr().err


def test_a_call_to_settings_that_leave_the_port_open_asks_for_the_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_PORT", "0")
    assert run(monkeypatch, "call", a_recording()) == 2
    assert "--url" in capsys.readouterr().err

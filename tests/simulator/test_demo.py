"""The demo's calls, against a gateway that answers as told."""

from __future__ import annotations

import asyncio
import errno
import io
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console
from websockets.asyncio.server import serve

from gateway.audio.pcm import Samples
from gateway.calls.records import TurnRecord
from gateway.errors import ConfigError
from gateway.simulator.caller import Patience
from gateway.simulator.conversations import Conversation, Line
from gateway.simulator.demo import Demo, TurnLog, make_folder
from gateway.simulator.recording import save_stereo
from tests.simulator.fake_gateway import FakeGateway, audio_out, transcript
from tests.simulator.voices import tone

HASTY = Patience(greeting=0.04, answer=0.5, reply=2.0, pause=0.04, transcript=0.3)


def record(turn: int, heard: str) -> TurnRecord:
    return TurnRecord("demo-en", turn, "en", heard, "good day", False, False, None, None)


def run_demo(folder: Path, understood: str | None) -> tuple[bool, str]:
    """Whether the demo went well, and what it printed, for what the gateway understood."""
    save_stereo(folder / "hello.wav", tone(0.1), tone(0.1))
    conversation = Conversation("en", "", 0, (Line(folder / "hello.wav", "hello there"),))
    replies = [audio_out("demo-en"), transcript("assistant", "good day", "demo-en")]
    if understood is not None:
        replies.insert(0, transcript("caller", understood, "demo-en"))
    out = io.StringIO()

    async def listen(samples: Samples, language: str) -> str:
        return "good day" if samples.size else ""

    async def run() -> bool:
        async with serve(FakeGateway(replies).handle, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            console = Console(file=out, width=120)
            demo = Demo(url, TurnLog(), listen, folder / "calls", console, HASTY)
            return await demo.run([conversation])

    return asyncio.run(run()), out.getvalue()


def test_a_call_that_was_understood_and_answered_went_well(tmp_path: Path) -> None:
    went_well, printed = run_demo(tmp_path, "Hello there.")
    assert went_well
    assert "0.0% of 2" in printed and "ok" in printed
    assert (tmp_path / "calls" / "en.wav").is_file()


def test_a_call_that_was_misunderstood_did_not_go_well(tmp_path: Path) -> None:
    went_well, printed = run_demo(tmp_path, "Yellow hair.")
    assert not went_well
    assert "not understood: word error rate 100%" in printed


def test_a_call_that_was_not_heard_did_not_go_well(tmp_path: Path) -> None:
    went_well, printed = run_demo(tmp_path, None)
    assert not went_well
    assert "hello.wav: not heard" in printed


def test_the_last_record_of_a_turn_counts() -> None:
    turns = TurnLog()
    for heard in ("hel", "hello"):
        turns.add(record(1, heard))
    assert turns.of_call("demo-en")[1].caller_text == "hello"
    assert turns.of_call("nobody") == {}


def test_a_call_that_cannot_be_saved_says_why_and_did_not_go_well(tmp_path: Path) -> None:
    (tmp_path / "calls" / "en.wav").mkdir(parents=True)
    went_well, printed = run_demo(tmp_path, "Hello there.")
    assert not went_well
    assert "Demo calls" in printed and "failed" in printed
    assert "en.wav: cannot be written (Is a directory)" in "".join(printed.splitlines())


def test_a_folder_for_calls_is_made_and_left_empty(tmp_path: Path) -> None:
    make_folder(tmp_path / "new" / "calls")
    assert list((tmp_path / "new" / "calls").iterdir()) == []


def test_a_folder_that_cannot_be_made_or_written_to_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    expected = r"\(Not a directory\); expected a folder .* --save-dir"
    with pytest.raises(ConfigError, match=expected):
        make_folder(tmp_path / "file" / "calls")

    def refuse(**_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("gateway.simulator.demo.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match="Read-only file system"):
        make_folder(tmp_path / "calls")


def test_a_log_that_is_closed_forgets_its_turns_and_keeps_no_more() -> None:
    turns = TurnLog()
    turns.add(record(1, "hello"))
    turns.close()
    turns.add(record(2, "are you open?"))
    assert turns.of_call("demo-en") == {}

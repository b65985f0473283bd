from __future__ import annotations

import logging
import os
import stat
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from gateway.audio.vad import WebRtcVad
from gateway.cli import app
from gateway.conversation.events import SpeechQueued, SpeechSent
from gateway.conversation.turns import TurnMachine
from gateway.errors import ConfigError
from gateway.events import AudioReceived, CallEnded, CallStarted, TextReceived
from gateway.recording.codec import (
    Header,
    decode_block,
    encode_block,
    encode_header,
    read_recording,
)
from gateway.recording.container import MAGIC, Kind, RecordingError, read_records, record
from gateway.recording.packing import pack, unpack
from gateway.recording.recorder import FileRecorder, FileTape
from gateway.recording.steps import Step
from gateway.recording.tape import RecordedConversation
from gateway.replay.exact import replay_exactly
from tests.recording.calls import POLICY, noisy_line, play

NOON = datetime(2026, 1, 2, 12, 0, 0, 250, tzinfo=UTC)


@pytest.fixture(scope="module")
def call_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    recorder = FileRecorder(folder / "new", lambda: NOON)
    play(recorder, noisy_line(2))
    recorder.close()
    (path,) = (folder / "new").iterdir()
    return path


def copy(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@given(st.lists(arrays(np.int16, st.integers(0, 50)), max_size=5))
def test_audio_is_packed_without_loss(
    pieces: list[np.ndarray[tuple[int], np.dtype[np.int16]]],
) -> None:
    joined = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)
    assert np.array_equal(unpack(pack(pieces)), joined)


def test_every_kind_of_value_comes_back_exactly() -> None:
    samples = np.array([-32768, 32767, 5], dtype=np.int16)
    steps = [
        Step(CallStarted(None), 0.1 + 0.2, (), ()),
        Step(AudioReceived(samples), 1 / 3, None, (True, False)),
        Step(SpeechQueued(3, (("да", 5), ("нет", 9)), 12), 2.5, (), ()),
        Step(SpeechSent(3, 2, samples[:2]), 2.5, (), ()),
        Step(SpeechSent(3, 9, None), 2.6, (), ()),
        Step(None, 3.0, (), (True,)),
    ]
    again = decode_block(encode_block(steps))
    assert [step.now for step in again] == [step.now for step in steps]
    assert [step.voiced for step in again] == [step.voiced for step in steps]
    assert [step.commands for step in again] == [(), None, (), (), (), ()]
    assert again[0].event == CallStarted(None) and again[5].event is None
    assert again[2].event == steps[2].event
    heard, sent = again[1].event, again[3].event
    assert isinstance(heard, AudioReceived) and np.array_equal(heard.samples, samples)
    assert isinstance(sent, SpeechSent) and sent.audio is not None
    assert np.array_equal(sent.audio, samples[:2])
    assert again[4].event == SpeechSent(3, 9, None)


def test_file_is_named_after_the_call_and_private(call_file: Path) -> None:
    assert call_file.name == "desk_7_44-20260102T120000.000250.vgrec"
    assert stat.S_IMODE(call_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(call_file.parent.stat().st_mode) == 0o700
    recording = read_recording(call_file)
    assert recording.complete
    assert recording.header.call_id == "desk/7 +44"
    assert recording.header.started_at == "2026-01-02T12:00:00.000250+00:00"
    assert recording.policy == POLICY
    assert recording.steps[0].event == CallStarted("en")
    assert recording.steps[-1].event == CallEnded("closed")


def test_recording_is_smaller_than_its_audio(call_file: Path) -> None:
    steps = read_recording(call_file).steps
    audio = [s.event.samples for s in steps if isinstance(s.event, AudioReceived)]
    sent = [s.event.samples for s in steps if isinstance(s.event, SpeechSent)]
    assert call_file.stat().st_size < 0.8 * 2 * (sum(map(len, audio)) + sum(sent))


def test_recording_changes_nothing_in_the_call(tmp_path: Path) -> None:
    line = noisy_line(1)
    recorder = FileRecorder(tmp_path)
    recorded = play(recorder, line)
    recorder.close()
    assert recorded.transcripts == play(None, line).transcripts
    assert recorded.audio and recorded.transcripts


def test_call_that_is_killed_leaves_a_whole_recording(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path)
    play(recorder, noisy_line(1), hang_up=False)
    recorder.close()
    (path,) = tmp_path.iterdir()
    recording = read_recording(path)
    assert recording.complete
    assert replay_exactly(recording, WebRtcVad()).mismatch is None


@pytest.mark.parametrize("told", ["an event", "the timer"])
def test_input_on_which_the_core_fails_is_the_last_one_of_a_file_that_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TurnMachine, "text_received", fail)
    monkeypatch.setattr(TurnMachine, "handle_timer", fail)
    recorder = FileRecorder(tmp_path)
    tape = recorder.tape("call", POLICY)
    core = RecordedConversation(tape, POLICY, WebRtcVad())
    core.receive(CallStarted("en"), 1.0)
    core.commands()
    with pytest.raises(ZeroDivisionError):
        if told == "an event":
            core.receive(TextReceived("boom"), 2.0)
        else:
            core.handle_timer(2.0)
    tape.close()
    recorder.close()
    (path,) = tmp_path.iterdir()
    recording = read_recording(path)
    assert not recording.complete
    last = recording.steps[-1]
    assert last.event == (TextReceived("boom") if told == "an event" else None)
    assert (len(recording.steps), last.now, last.commands) == (2, 2.0, None)
    with pytest.raises(ZeroDivisionError):
        replay_exactly(recording, WebRtcVad())


@pytest.mark.parametrize("lost", [1, 5, 13, 14, 5000, 30_000])
def test_truncated_recording_is_replayed_up_to_its_last_whole_record(
    call_file: Path, tmp_path: Path, lost: int
) -> None:
    whole = read_recording(call_file)
    cut = read_recording(copy(tmp_path / "cut.vgrec", call_file.read_bytes()[:-lost]))
    assert not cut.complete
    assert len(whole.steps) // 3 < len(cut.steps) <= len(whole.steps)
    assert replay_exactly(cut, WebRtcVad()).mismatch is None


@pytest.mark.parametrize("part", [0.001, 0.02, 0.3, 0.5, 0.99])
def test_damaged_recording_is_refused(call_file: Path, tmp_path: Path, part: float) -> None:
    data = bytearray(call_file.read_bytes())
    data[len(MAGIC) + int(part * (len(data) - len(MAGIC)))] ^= 0x10
    with pytest.raises(RecordingError, match=r"damaged (at|between) byte"):
        read_recording(copy(tmp_path / "bad.vgrec", bytes(data)))


def test_damage_in_the_head_of_a_record_is_refused(call_file: Path, tmp_path: Path) -> None:
    data = call_file.read_bytes()
    for at in range(len(MAGIC), len(MAGIC) + 13):  # kind, length and both checksums
        bad = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(RecordingError, match="damaged at byte 7: expected the head"):
            read_recording(copy(tmp_path / "bad.vgrec", bad))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "before the call began"),
        (MAGIC[:3], "before the call began"),
        (b"RIFF\x00\x00\x00\x00WAVE", "no recorded call"),
        (MAGIC, "before the call began"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        read_recording(copy(tmp_path / "other.vgrec", data))


def test_other_files_are_not_read_to_their_end(tmp_path: Path) -> None:
    endless = copy(tmp_path / "endless", b"")
    os.truncate(endless, 1 << 40)  # a hole: takes no place on the disk, and none in memory
    with pytest.raises(RecordingError, match="no recorded call"):
        read_recording(endless)


@pytest.mark.parametrize(
    ("event", "fields", "commands", "frames", "message"),
    [
        ("TextReceived", {"text": 5}, [], 0, "Expected `str`"),
        ("TextReceived", {"text": "x", "mood": "sad"}, [], 0, "knows no mood of TextReceived"),
        ("SpeechQueued", {"generation": 1, "words": [["a"]], "samples": 9}, [], 0, "words"),
        ("AudioReceived", {"samples": {"samples": -1}}, [], 0, ">= 0"),
        ("AudioReceived", {"samples": {"samples": "many"}}, [], 0, "Expected `int`"),
        ("timer", {}, [{"turn": 1}], 0, "commands with their types"),
        ("timer", {}, [], 1 << 60, "bits of the voice detector"),
    ],
)
def test_recording_of_a_strange_gateway_is_not_understood(
    call_file: Path,
    tmp_path: Path,
    event: str,
    fields: dict[str, object],
    commands: list[object],
    frames: int,
    message: str,
) -> None:
    header = next(payload for kind, payload in read_records(call_file) if kind is Kind.HEADER)
    steps = zlib.compress(msgspec.msgpack.encode([[event, 1.0, fields, commands, 0]]))
    block = msgspec.msgpack.encode([steps, frames, b"", {}])
    data = MAGIC + record(Kind.HEADER, header) + record(Kind.BLOCK, block)
    with pytest.raises(RecordingError, match=f"is not understood: .*{message}"):
        read_recording(copy(tmp_path / "strange.vgrec", data))


def test_name_of_a_strange_gateway_is_told_on_one_line(tmp_path: Path) -> None:
    header = encode_header(Header("1\n\x1b[2J", "c", "", {"endpoint": 5}))
    data = MAGIC + record(Kind.HEADER, header)
    with pytest.raises(RecordingError) as refused:
        read_recording(copy(tmp_path / "strange.vgrec", data))
    assert "recorded by gateway 1\\n\\x1b[2J, is not understood" in str(refused.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read_recording(tmp_path / "none.vgrec")


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    copy(tmp_path / "file", b"")
    with pytest.raises(ConfigError, match="cannot record calls in"):
        FileRecorder(tmp_path / "file" / "calls")


def test_disk_that_fails_ends_the_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "calls"
    recorder = FileRecorder(folder)
    folder.rmdir()
    with caplog.at_level(logging.ERROR):
        transport = play(recorder, noisy_line(1))
        recorder.close()
    assert ("caller", "When do you open?") in transport.transcripts
    (error,) = (r.getMessage() for r in caplog.records if r.levelno == logging.ERROR)
    assert error.endswith("is given up: No such file or directory")


def test_recording_that_is_deleted_in_mid_call_stays_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = FileRecorder(tmp_path)
    tape = recorder.tape("call", POLICY)
    for second in range(9):
        tape.add(Step(TextReceived("hello"), float(second), ()))
        if second == 4:
            wait_until(tape.path.exists)
            tape.path.unlink()
    tape.close()
    recorder.close()
    assert not list(tmp_path.iterdir())
    assert "is given up: No such file or directory" in caplog.text


def test_nothing_is_written_behind_a_block_that_was_lost(tmp_path: Path) -> None:
    path, jobs = tmp_path / "call.vgrec", list[Callable[[], None]]()

    def enqueue(job: Callable[[], None]) -> bool:
        jobs.append(job)
        return True

    tape = FileTape(path, Header("1", "call", "", {}), enqueue)
    for second in range(9):
        tape.add(Step(TextReceived("hello"), float(second), ()))
    tape.close()
    begin, lost, *others = jobs
    begin()
    path.unlink()
    lost()
    path.touch()
    for job in others:
        job()
    assert len(others) > 1 and path.read_bytes() == b""


def test_input_of_which_nobody_asked_the_commands_is_recorded_too() -> None:
    class Steps(list[Step]):
        def add(self, step: Step) -> None:
            self.append(step)

        def close(self) -> None: ...

    steps = Steps()
    core = RecordedConversation(steps, POLICY, WebRtcVad())
    core.receive(CallStarted("en"), 1.0)
    core.receive(TextReceived("hello"), 2.0)
    core.commands()
    assert [(step.event, step.commands is None) for step in steps] == [
        (CallStarted("en"), True),
        (TextReceived("hello"), False),
    ]


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for the recorder's thread."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_that_calls_are_recorded_is_said_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FileRecorder(tmp_path).close()
    assert "personal data" in caplog.text


def test_that_recordings_are_personal_data_is_said_in_the_help() -> None:
    text = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--record-events" in text and "personal data" in text

"""WAV files as a caller's voice."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.pcm import samples_of
from gateway.simulator.conversations import RECORDINGS_DIR
from gateway.simulator.recording import (
    RecordingError,
    find_speech,
    load_recording,
    save_stereo,
)
from tests.simulator.voices import silence, tone

EXTENSIBLE_PCM = bytes.fromhex("0100000000001000800000aa00389b71")


def write_wav(
    path: Path, data: bytes, rate: int = 16_000, channels: int = 1, width: int = 2
) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setframerate(rate)
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.writeframes(data)


def riff(before: bytes, form: bytes, data: bytes) -> bytes:
    """A WAV file made by hand, with some part before the one that tells the format."""
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_gateway_audio_is_taken_sample_for_sample(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(0.1).tobytes())
    assert np.array_equal(load_recording(tmp_path / "a.wav").samples, tone(0.1))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    second = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
    write_wav(tmp_path / "a.wav", second.tobytes(), rate)
    samples = load_recording(tmp_path / "a.wav").samples
    spectrum = np.abs(np.fft.rfft(samples))
    assert samples.size == pytest.approx(16_000, abs=2)
    assert spectrum.argmax() == pytest.approx(440, abs=1)


def test_stereo_becomes_the_mean_of_both_channels(tmp_path: Path) -> None:
    both = np.stack([tone(0.1), silence(0.1)], axis=1)
    write_wav(tmp_path / "a.wav", both.tobytes(), channels=2)
    samples = load_recording(tmp_path / "a.wav").samples
    assert np.abs(samples - tone(0.1) / 2).max() <= 1


@pytest.mark.parametrize("width", [1, 3, 4])
def test_any_sample_width_is_read(tmp_path: Path, width: int) -> None:
    if width == 1:
        data = (tone(0.1) // 256 + 128).astype(np.uint8).tobytes()
    else:
        wide = (tone(0.1).astype("<i4") << 16).view(np.uint8).reshape(-1, 4)
        data = wide[:, 4 - width :].tobytes()
    write_wav(tmp_path / "a.wav", data, width=width)
    samples = load_recording(tmp_path / "a.wav").samples
    assert np.abs(samples.astype(int) - tone(0.1)).max() <= (256 if width == 1 else 0)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_extensible_form_is_read_as_the_plain_one(tmp_path: Path, width: int) -> None:
    padded = np.zeros((tone(0.1).size, width), dtype=np.uint8)
    padded[:, width - 2 :] = tone(0.1).view(np.uint8).reshape(-1, 2)
    form = struct.pack("<HHIIHH", 0xFFFE, 1, 16_000, 16_000 * width, width, 8 * width)
    form += struct.pack("<HHI", 22, 8 * width, 4) + EXTENSIBLE_PCM
    note = b"LIST" + struct.pack("<I", 3) + b"odd\0"
    (tmp_path / "a.wav").write_bytes(riff(note, form, padded.tobytes()))
    assert np.array_equal(load_recording(tmp_path / "a.wav").samples, tone(0.1))


def test_speech_ends_before_the_silent_tail() -> None:
    samples = np.concatenate([tone(0.5), silence(0.7)])
    assert find_speech(samples) == (0, samples_of(0.5))


def test_a_quiet_room_after_the_words_is_no_speech() -> None:
    samples = np.concatenate([tone(0.5), tone(0.7, level=60)])
    assert find_speech(samples) == (0, samples_of(0.5))


@given(st.lists(st.integers(-32768, 32767), max_size=2000))
def test_speech_never_ends_after_the_recording(values: list[int]) -> None:
    samples = np.array(values, dtype=np.int16)
    start, end = find_speech(samples)
    assert 0 <= start <= end <= samples.size


def test_silence_holds_no_speech() -> None:
    assert find_speech(silence(0.5)) == (0, 0)


@pytest.mark.parametrize("snr_db", [30, 25, 20])
def test_the_hiss_of_a_line_after_the_words_is_no_speech(snr_db: int) -> None:
    said = load_recording(RECORDINGS_DIR / "en-1-hours.wav")
    words = said.samples[: said.speech_end].astype(np.float64)
    line = np.concatenate([words, np.zeros(samples_of(1.5))])
    hiss = np.random.default_rng(1).standard_normal(line.size) * np.sqrt((words**2).mean())
    noisy = np.rint(line + hiss * 10 ** (-snr_db / 20)).astype(np.int16)
    assert find_speech(noisy)[1] == pytest.approx(words.size, abs=samples_of(0.06))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x03 this is an mp3 file, really", "not a WAV file"),
        (b"RIFF\x04\x00\x00\x00WAVE", "not a WAV file"),
        (b"RIFF", r"\(it is empty or cut off\)"),
        (b"RIFF\x0d\x00\x00\x00WAVELIST\x77\x00\x00\x00x", r"\(it is empty or cut off\)"),
    ],
)
def test_a_file_that_is_no_wav_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        load_recording(tmp_path / "a.wav")


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        load_recording(tmp_path / "a.wav")
    with pytest.raises(RecordingError, match="cannot be read"):
        load_recording(tmp_path)


@pytest.mark.parametrize(
    ("rate", "width", "got"),
    [(0, 2, "16 bits at 0 Hz"), (1, 2, "16 bits at 1 Hz"), (16_000, 8, "64 bits at 16000 Hz")],
)
def test_a_wav_that_no_sound_can_be_made_of_says_what_is_expected(
    tmp_path: Path, rate: int, width: int, got: str
) -> None:
    # By hand: the wave module writes no such file.
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * width, width, 8 * width)
    (tmp_path / "a.wav").write_bytes(riff(b"", form, tone(0.1).tobytes()))
    with pytest.raises(RecordingError, match=f"a.wav: expected .* at most 32 bits .*{got}"):
        load_recording(tmp_path / "a.wav")


def test_silence_is_nothing_to_say(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", silence(1.0).tobytes())
    with pytest.raises(RecordingError, match="only silence"):
        load_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("calls", "Is a directory"),
        ("a.txt/call.wav", "a.txt is no folder"),
        ("a.txt/calls/call.wav", "a.txt/calls is no folder"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_a_call_that_cannot_be_saved_says_why(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "a.txt").write_text("no folder")
    with pytest.raises(RecordingError, match=f"{path}: cannot be written .*{reason}"):
        save_stereo(tmp_path / path, tone(0.1), tone(0.1))


def test_a_call_is_saved_with_the_caller_left_and_the_assistant_right(tmp_path: Path) -> None:
    save_stereo(tmp_path / "calls" / "a.wav", tone(0.1), silence(0.2))
    with wave.open(str(tmp_path / "calls" / "a.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 16_000)
        both = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, 2)
    assert np.array_equal(both[: samples_of(0.1), 0], tone(0.1))
    assert not both[samples_of(0.1) :, 0].any() and not both[:, 1].any()

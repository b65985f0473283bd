"""Our own voice, returned by a telephone line, is told from a caller's."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.echo import EchoDetector
from gateway.audio.pcm import SAMPLE_RATE, Samples, samples_of
from gateway.simulator.caller_line import Telephone
from gateway.simulator.recording import load_recording

RECORDINGS = Path(__file__).parents[2] / "gateway" / "simulator" / "recordings"
WINDOW_S = 0.3


def recording(name: str) -> Samples:
    return load_recording(RECORDINGS / name).samples


OURS = np.concatenate([recording("en-1-hours.wav"), recording("ru-3-address.wav")])
CALLER = recording("en-2-price.wav")


def line(audio: Samples) -> Samples:
    """Through a telephone line: 300-3400 Hz, 8 kHz mu-law."""
    telephone = Telephone()
    frames = audio[: len(audio) // 320 * 320].reshape(-1, 320).astype(float)
    heard = np.concatenate([telephone.push(frame) for frame in frames])
    return heard.clip(-32768, 32767).astype(np.int16)


def returned(level_db: float, delay_ms: int) -> Samples:
    """What comes back when all of OURS is played from time 0."""
    quiet = (OURS * 10 ** (level_db / 20)).astype(np.int16)
    return line(np.concatenate([np.zeros(samples_of(delay_ms / 1000), np.int16), quiet]))


def played() -> EchoDetector:
    detector = EchoDetector()
    for start in range(0, len(OURS), 640):
        detector.played(OURS[start : start + 640], start / SAMPLE_RATE)
    return detector


def windows(heard: Samples, least_level: float) -> list[tuple[float, Samples]]:
    """Stretches of 300 ms that hold sound, with the call time at which each ends."""
    size = samples_of(WINDOW_S)
    found = []
    for end in range(size, min(len(heard), len(OURS)), size // 2):
        window = heard[end - size : end]
        if np.sqrt(np.mean(window.astype(float) ** 2)) > least_level:
            found.append((end / SAMPLE_RATE, window))
    return found


@pytest.mark.parametrize("level_db", [-6, -12, -20, -30])
@pytest.mark.parametrize("delay_ms", [50, 200, 450, 800])
def test_echo_through_a_telephone_line_is_recognised(level_db: float, delay_ms: int) -> None:
    heard = returned(level_db, delay_ms)
    loud = np.abs(heard).max() / 20
    checked = windows(heard, loud)
    detector = played()
    recognised = [detector.is_echo(window, at) for at, window in checked]
    assert len(recognised) >= 10
    assert np.mean(recognised) >= 0.95


@pytest.mark.parametrize("name", ["en-2-price.wav", "ru-2-price.wav", "ar-1-hours.wav"])
@pytest.mark.parametrize("level_db", [-6, -12, -30])
@pytest.mark.parametrize("delay_ms", [50, 450, 800])
def test_caller_who_speaks_over_the_echo_is_heard(
    name: str, level_db: float, delay_ms: int
) -> None:
    echo = returned(level_db, delay_ms)
    caller = line(recording(name))
    # As loud as the assistant at its own end: that is what a level in dB of the echo refers to.
    caller = (caller * (np.abs(OURS).max() / np.abs(caller).max())).astype(np.int16)
    begins = samples_of(1.0)
    mixed = echo[begins : begins + len(caller)].astype(int) + caller[: len(echo) - begins]
    both = mixed.clip(-32768, 32767).astype(np.int16)
    detector = played()
    size = samples_of(WINDOW_S)
    verdicts = [
        detector.is_echo(both[end - size : end], (begins + end) / SAMPLE_RATE)
        for end in range(size, len(both), size // 2)
    ]
    assert len(verdicts) >= 5
    assert np.mean(verdicts) <= 0.05


def test_caller_alone_is_no_echo_of_something_else_that_was_played() -> None:
    detector = played()
    caller = line(CALLER)
    assert all(detector.similarity(window, at) < 0.75 for at, window in windows(caller, 300))


@pytest.mark.parametrize("begun_ms", [90, 110, 130])
@pytest.mark.parametrize("level_db", [-3, -12])
def test_echo_of_a_soft_and_deep_beginning_is_recognised(begun_ms: int, level_db: float) -> None:
    time = np.arange(samples_of(0.2)) / SAMPLE_RATE
    whisper = np.random.default_rng(1).normal(0, 60, time.size)
    deep = 300 * np.sin(2 * np.pi * 120 * time) + whisper
    ours = np.concatenate([deep, OURS[samples_of(1.0) :]]).astype(np.int16)
    detector = EchoDetector()
    detector.played(ours[: samples_of(0.9)], 1.0)
    echo = (ours[: samples_of(begun_ms / 1000)] * 10 ** (level_db / 20)).astype(np.int16)
    heard = np.concatenate([np.zeros(samples_of(WINDOW_S) - len(echo), np.int16), echo])
    assert detector.is_echo(heard, 1.8 + begun_ms / 1000)


def test_nothing_is_an_echo_when_nothing_was_played() -> None:
    assert EchoDetector().similarity(CALLER, 2.0) == 0.0


def test_silence_is_no_echo() -> None:
    assert not played().is_echo(np.zeros(4800, dtype=np.int16), 1.0)


def test_what_was_played_long_ago_is_not_kept() -> None:
    detector = EchoDetector()
    given: list[weakref.ref[Samples]] = []
    for second in range(60):
        samples = np.zeros(SAMPLE_RATE, dtype=np.int16)
        detector.played(samples, float(second))
        given.append(weakref.ref(samples))
    assert sum(kept() is not None for kept in given) <= 5

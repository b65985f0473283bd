"""Audio that arrives faster than real time."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE
from gateway.protocols.native import MAX_RATE, RATE_WINDOW_S, NativeProtocol, RateLimit
from tests.protocols.test_native import audio, errors, heard, opened

ALLOWED = int(MAX_RATE * RATE_WINDOW_S * SAMPLE_RATE)
SECOND = base64.b64encode(np.ones(SAMPLE_RATE, dtype="<i2").tobytes()).decode()


def feed(protocol: NativeProtocol, times: list[float]) -> tuple[int, list[str]]:
    """Send a second of audio at each time: samples that came through, and error codes."""
    passed, codes = 0, []
    for now in times:
        received = protocol.receive(audio(SECOND), now)
        passed += sum(len(samples) for _, samples in heard(received))
        codes += [error.code for error in received.errors]
    return passed, codes


@pytest.mark.parametrize("speed", [1.0, 1.9])
def test_audio_up_to_twice_real_time_passes(speed: float) -> None:
    assert feed(opened(), [n / speed for n in range(60)]) == (60 * SAMPLE_RATE, [])


def test_a_burst_after_a_network_stall_passes() -> None:
    times = [0.0, 1.0, 2.0] + [9.0] * 7 + [10.0, 11.0]
    assert feed(opened(), times) == (12 * SAMPLE_RATE, [])


def test_what_exceeds_the_rate_is_dropped_and_reported_once_per_episode() -> None:
    protocol = opened()
    passed, codes = feed(protocol, [n / 4 for n in range(80)])
    assert codes == ["audio_too_fast"]
    assert passed <= 20.0 * MAX_RATE * SAMPLE_RATE + ALLOWED
    assert feed(protocol, [60.0, 61.0, 62.0]) == (3 * SAMPLE_RATE, [])
    assert feed(protocol, [70.0] * 12) == (ALLOWED, ["audio_too_fast"])


def test_the_part_of_a_chunk_that_still_fits_is_used() -> None:
    limit = RateLimit()
    assert limit.admit(ALLOWED - 100, 0.0) == (ALLOWED - 100, False)
    assert limit.admit(300, 1.0) == (100, True)
    assert limit.admit(300, 2.0) == (0, False)


def test_the_error_says_how_much_was_expected() -> None:
    protocol = opened()
    feed(protocol, [0.0] * 10)
    received = protocol.receive(audio(SECOND), 0.0)
    text = "expected audio at real time, got more than 2 times that over 5 s; 1.00 s dropped"
    assert errors(received) == [("audio_too_fast", "c1", text)]


def test_another_call_on_the_socket_is_not_limited_by_a_fast_one() -> None:
    protocol = opened("c1")
    protocol.receive('{"type":"init","callId":"c2"}', 0.0)
    feed(protocol, [0.0] * 20)
    received = protocol.receive(audio(SECOND, "c2"), 0.0)
    assert len(received.events) == 1 and received.errors == []

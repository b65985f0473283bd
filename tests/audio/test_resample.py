"""Sample-rate conversion keeps time, level and silence, whatever the chunk sizes."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import Samples
from gateway.audio.resample import Resampler, resample

RATES = [
    (8000, 16000),
    (16000, 8000),
    (24000, 16000),
    (16000, 24000),
    (22050, 16000),
    (48000, 16000),
]


def tone(rate: int, hertz: float = 1000.0, seconds: float = 0.5, level: float = 16000.0) -> Samples:
    return np.rint(
        level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    ).astype(np.int16)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_stays_the_same_tone_at_the_same_time(rate_in: int, rate_out: int) -> None:
    converted = resample(tone(rate_in), rate_in, rate_out)
    expected = tone(rate_out)
    assert len(converted) == len(expected)
    error = converted.astype(int) - expected
    assert np.abs(error[100:-100]).max() <= 4


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_chunk_sizes_do_not_change_the_signal(rate_in: int, rate_out: int) -> None:
    rng = np.random.default_rng(1)
    signal = rng.integers(-20000, 20000, 20000).astype(np.int16)
    cuts = np.sort(rng.integers(0, len(signal), 60))
    resampler = Resampler(rate_in, rate_out)
    chunks = [resampler.push(chunk) for chunk in np.split(signal, cuts)]
    chunks.append(resampler.flush())
    np.testing.assert_array_equal(np.concatenate(chunks), resample(signal, rate_in, rate_out))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_no_more_than_two_milliseconds_are_held_back(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    frame = np.zeros(rate_in // 50, np.int16)
    received = sum(len(resampler.push(frame)) for _ in range(10))
    assert 0.2 - received / rate_out <= 0.0021


def test_equal_rates_pass_samples_through_untouched() -> None:
    signal = tone(16000)
    resampler = Resampler(16000, 16000)
    assert resampler.push(signal) is signal
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_silence_and_a_constant_stay_exact(rate_in: int, rate_out: int) -> None:
    assert not resample(np.zeros(5000, np.int16), rate_in, rate_out).any()
    constant = resample(np.full(5000, 1234, np.int16), rate_in, rate_out)
    assert set(constant[200:-200].tolist()) == {1234}


def test_frequencies_above_the_new_limit_do_not_fold_back() -> None:
    folded = resample(tone(24000, hertz=10_000.0), 24000, 16000).astype(float)
    assert np.sqrt(np.mean(folded[200:-200] ** 2)) < 16000 * 10 ** (-60 / 20)


def test_full_scale_does_not_wrap_around() -> None:
    square = np.repeat(np.array([32767, -32768] * 20, np.int16), 200)
    converted = resample(square, 8000, 16000)
    # The filter overshoots at each edge and takes several samples over it; a wrap takes none.
    assert np.abs(np.diff(converted.astype(np.int32))).max() < 60_000


def test_flush_readies_the_resampler_for_a_new_signal() -> None:
    resampler = Resampler(22050, 16000)
    first, second = (
        np.concatenate([resampler.push(tone(22050)), resampler.flush()]) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_nothing_in_gives_nothing_out() -> None:
    assert len(resample(np.zeros(0, np.int16), 8000, 16000)) == 0
    assert len(resample(np.array([5], np.int16), 8000, 16000)) == 2


@pytest.mark.parametrize("rates", [(0, 16000), (16000, -1)])
def test_a_rate_must_be_positive(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="positive sample rates"):
        Resampler(*rates)

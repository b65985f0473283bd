from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.framing import Framer
from gateway.audio.pcm import FRAME_SAMPLES


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_frames_hold_every_sample_in_order_whatever_the_chunk_sizes(sizes: list[int]) -> None:
    audio = np.arange(sum(sizes), dtype=np.int16)
    framer = Framer()
    frames = []
    at = 0
    for size in sizes:
        frames += framer.push(audio[at : at + size])
        at += size
    assert all(len(frame) == FRAME_SAMPLES for frame in frames)
    joined = np.concatenate(frames) if frames else np.zeros(0, dtype=np.int16)
    assert len(audio) - len(joined) < FRAME_SAMPLES
    assert np.array_equal(joined, audio[: len(joined)])

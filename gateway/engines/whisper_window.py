"""How much audio one pass of Whisper sees: window sizes and cuts of long utterances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples

Window = Literal["auto", "full"]

FRAMES_PER_SECOND = 100
"""Mel frames of a second of audio (10 ms hop)."""

FULL_WINDOW = 30 * FRAMES_PER_SECOND
"""The window Whisper was trained on, in mel frames."""

SHORT_WINDOWS = tuple(FRAMES_PER_SECOND * s for s in (2, 3, 4, 6, 8, 12, 16, 22))
"""Shorter windows, in mel frames. Encoding cost grows faster than length; few sizes let calls
share a batch, and each size is at most 1.5 times the one before."""

PADDING_S = 0.5
"""Silence kept after the speech, so that the decoder sees that it has ended."""

MAX_PIECE_S = 28.0
"""Longest piece given to one pass: the full window less room for the padding."""

_QUIET_SEARCH_S = 8.0
_QUIET_SPAN_S = 0.2


def choose_window(sample_count: int, window: Window = "auto") -> int:
    """Smallest window, in mel frames, that holds the speech and its padding.

    Args:
        sample_count: speech, in samples at 16 kHz.
        window: "auto" for the shortest that fits, "full" for always 30 s.
    """
    needed = (sample_count / SAMPLE_RATE + PADDING_S) * FRAMES_PER_SECOND
    if window == "auto":
        for frames in SHORT_WINDOWS:
            if needed <= frames:
                return frames
    return FULL_WINDOW


def split_at_quiet(samples: Samples) -> Iterator[Samples]:
    """Cut a long utterance into pieces of at most MAX_PIECE_S, at its quietest places.

    Each cut is searched in the last 8 s that a piece may have, and falls in the middle of the
    quietest 200 ms there. The pieces together are exactly the input.
    """
    longest = round(MAX_PIECE_S * SAMPLE_RATE)
    start = 0
    while len(samples) - start > longest:
        search = start + longest - round(_QUIET_SEARCH_S * SAMPLE_RATE)
        cut = search + _quietest(samples[search : start + longest])
        yield samples[start:cut]
        start = cut
    yield samples[start:]


def _quietest(samples: Samples) -> int:
    span = min(round(_QUIET_SPAN_S * SAMPLE_RATE), len(samples))
    power = np.cumsum(np.square(samples, dtype=np.float64))
    energy = power[span - 1 :] - np.concatenate([[0.0], power[:-span]])
    return int(np.argmin(energy)) + span // 2

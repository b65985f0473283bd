"""The listener at the far end: what is heard of audio that arrives in chunks, and when."""

from __future__ import annotations

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples, samples_of

_BETWEEN_REPLIES_S = 0.2
"""Audio that follows within this time goes on with the reply: it is sent evenly."""


class FarEnd:
    """Plays audio the moment it arrives, or right after what is still playing.

    There is no jitter buffer: a chunk that comes later than the end of the one before it leaves a
    gap. A gap inside one reply is an underrun; between replies it is just silence.
    """

    def __init__(self) -> None:
        self.underruns = 0
        self.underrun_s = 0.0
        self._pieces: list[tuple[int, Samples]] = []
        self._end = 0
        self._in_reply = False

    @property
    def end_s(self) -> float:
        """When the last audio received so far ends, in call time."""
        return self._end / SAMPLE_RATE

    def push(self, samples: Samples, now: float) -> None:
        """Audio arrived at call time ``now`` (seconds)."""
        arrival = samples_of(now)
        if self._in_reply and arrival > self._end:
            self.underruns += 1
            self.underrun_s += (arrival - self._end) / SAMPLE_RATE
        begin = max(arrival, self._end)
        self._pieces.append((begin, samples))
        self._end = begin + samples.size
        self._in_reply = True

    def end_reply(self) -> None:
        """The reply is complete: a gap before the next audio is no underrun."""
        self._in_reply = False

    def is_silent(self, now: float, since_s: float) -> bool:
        """Has nothing been playing for at least ``since_s`` seconds?"""
        return now - self.end_s >= since_s

    def in_reply(self, now: float) -> bool:
        """Would audio that arrives now go on with a reply, rather than begin one?"""
        return self._in_reply and not self.is_silent(now, _BETWEEN_REPLIES_S)

    def track(self) -> Samples:
        """All that was heard, from the start of the call, with the silences between."""
        track = np.zeros(self._end, dtype=np.int16)
        for begin, samples in self._pieces:
            track[begin : begin + samples.size] = samples
        return track

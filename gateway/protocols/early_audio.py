"""Audio that arrives for a call that is not open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples

MAX_SAMPLES = SAMPLE_RATE
"""Audio kept per call id: the newest second, which joins on to what follows the init."""

MAX_AGE_S = 2.0
"""Audio that waited longer is not what the caller says when the call opens."""

MAX_CALLS = 8
"""Call ids of one socket that may have audio waiting."""

_MAX_REMEMBERED = 64

_T = TypeVar("_T")


@dataclass(slots=True)
class _Waiting:
    samples: Samples
    newest: float


class EarlyAudio:
    """Keeps the newest second of audio per call id until the call opens, for a few ids.

    Of a call that we ended the client may not know yet: its audio is dropped without a word.
    """

    def __init__(self) -> None:
        # Oldest first, in all three.
        self._waiting: dict[str, _Waiting] = {}
        self._reported: dict[str, None] = {}
        self._ended: dict[str, None] = {}

    def put(self, call_id: str, samples: Samples, now: float) -> bool:
        """Keep samples; True when this id has to be reported to the client."""
        if call_id in self._ended:
            return False
        known = self._waiting.pop(call_id, None)
        if known is not None and now - known.newest <= MAX_AGE_S:
            samples = np.concatenate((known.samples, samples))
        _remember(self._waiting, call_id, _Waiting(samples[-MAX_SAMPLES:].copy(), now), MAX_CALLS)
        if call_id in self._reported:
            return False
        _remember(self._reported, call_id, None, _MAX_REMEMBERED)
        return True

    def take(self, call_id: str, now: float) -> Samples | None:
        """The audio that waited for this call, which opens now; None when there was none."""
        self._reported.pop(call_id, None)
        self._ended.pop(call_id, None)
        found = self._waiting.pop(call_id, None)
        if found is None or not len(found.samples) or now - found.newest > MAX_AGE_S:
            return None
        return found.samples

    def call_ended(self, call_id: str) -> None:
        """We ended this call."""
        _remember(self._ended, call_id, None, _MAX_REMEMBERED)


def _remember(into: dict[str, _T], key: str, value: _T, most: int) -> None:
    """Add an entry; the oldest makes room."""
    into[key] = value
    if len(into) > most:
        del into[next(iter(into))]

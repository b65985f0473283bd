"""Audio that arrives before the message that opens its call."""

from __future__ import annotations

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples

MAX_SAMPLES = SAMPLE_RATE
"""Audio kept per call id: the newest second, which joins on to what follows the init."""

MAX_CALLS = 8
"""Call ids of one socket that may have audio waiting."""

_MAX_REPORTED = 64


class EarlyAudio:
    """Keeps the newest second of audio per call id until the call opens, for a few ids."""

    def __init__(self) -> None:
        self._waiting: dict[str, Samples] = {}
        self._reported: set[str] = set()

    def put(self, call_id: str, samples: Samples) -> bool:
        """Keep samples if there is room; True when this id has to be reported to the client."""
        waiting = self._waiting.get(call_id)
        if waiting is not None:
            self._waiting[call_id] = np.concatenate((waiting, samples))[-MAX_SAMPLES:]
        elif len(self._waiting) < MAX_CALLS:
            self._waiting[call_id] = samples[-MAX_SAMPLES:].copy()
        if call_id in self._reported or len(self._reported) >= _MAX_REPORTED:
            return False
        self._reported.add(call_id)
        return True

    def take(self, call_id: str) -> Samples | None:
        """The audio that waited for this call, once; None when there was none."""
        self._reported.discard(call_id)
        samples = self._waiting.pop(call_id, None)
        return samples if samples is not None and len(samples) else None

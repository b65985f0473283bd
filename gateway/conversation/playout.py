"""The ledger of one reply: what was queued, what was sent, and what has been heard of it."""

from __future__ import annotations

from gateway.audio.pcm import SAMPLE_RATE


class PlayoutLedger:
    """Models a far end that plays audio as it arrives, without gaps as long as it has any."""

    def __init__(self) -> None:
        self._chunks: list[tuple[str, int]] = []
        self._queued = 0
        self._sent = 0
        self._play_end = 0.0
        self.complete = False
        """Nothing more will be queued."""

    @property
    def empty(self) -> bool:
        """Nothing has been queued so far."""
        return self._queued == 0

    def queued(self, text: str, samples: int) -> None:
        """The next piece of speech: its words and its length; no words, more of the last ones."""
        if not text and self._chunks:
            words, length = self._chunks.pop()
            self._chunks.append((words, length + samples))
        else:
            self._chunks.append((text, samples))
        self._queued += samples

    def sent(self, samples: int, now: float) -> None:
        """Samples left; they play after those sent before them."""
        self._sent += samples
        self._play_end = max(self._play_end, now) + samples / SAMPLE_RATE

    @property
    def plays_until(self) -> float | None:
        """Call time when the last sample ends, or None while more is to be sent."""
        return self._play_end if self.complete and self._sent >= self._queued else None

    def heard_samples(self, now: float) -> int:
        """How many samples have been played by now."""
        ahead = max(0.0, self._play_end - now)
        return max(0, self._sent - round(ahead * SAMPLE_RATE))

    def heard_text(self, now: float) -> str:
        """The words played by now; inside a piece, in proportion to the time played."""
        left = self.heard_samples(now)
        heard: list[str] = []
        for text, samples in self._chunks:
            if left >= samples:
                heard.append(text)
                left -= samples
                continue
            words = text.split()
            # Half-heard words do not count: the caller has not understood them.
            heard.extend(words[: int(len(words) * left / samples)])
            break
        return " ".join(heard)

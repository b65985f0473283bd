"""The ledger of one reply: what was queued, what was sent, and what has been heard of it."""

from __future__ import annotations

from itertools import takewhile

from gateway.audio.pcm import SAMPLE_RATE
from gateway.conversation.sentences import sentence_ends

HEARD_PART = 0.8
"""A word counts as heard once this part of it has been played: its last sound may be missing."""


class PlayoutLedger:
    """Models a far end that plays audio as it arrives, without gaps as long as it has any."""

    def __init__(self) -> None:
        self._words: list[tuple[str, float]] = []
        self._queued = 0
        self._sent = 0
        self._play_end = 0.0
        self.complete = False
        """Nothing more will be queued."""

    @property
    def empty(self) -> bool:
        """No words have been queued so far; an acknowledgement counts as none."""
        return not self._words

    def queued(self, words: tuple[tuple[str, int], ...], samples: int) -> None:
        """The next piece of speech.

        Args:
            words: each word and where it ends, in samples from the start of this piece; a word
                begins where the one before it ends.
            samples: length of the piece.
        """
        start, heard_at = 0, 1.0
        for word, end in words:
            if end > start:  # else it is spoken together with the one before
                heard_at, start = start + HEARD_PART * (end - start), end
            self._words.append((word, self._queued + heard_at))
        self._queued += samples

    def sent(self, samples: int, now: float) -> float:
        """Samples left; they play after those sent before them. Returns when they begin to."""
        self._sent += samples
        plays_at = max(self._play_end, now)
        self._play_end = plays_at + samples / SAMPLE_RATE
        return plays_at

    @property
    def plays_until(self) -> float | None:
        """Call time when the last sample ends, or None while more is to be sent."""
        return self._play_end if self.complete and self._sent >= self._queued else None

    def heard_samples(self, now: float) -> int:
        """How many samples have been played by now."""
        ahead = max(0.0, self._play_end - now)
        return max(0, self._sent - round(ahead * SAMPLE_RATE))

    def heard_text(self, now: float) -> str:
        """The words played by now; one that was cut off counts from 80 % of its length on."""
        played = self.heard_samples(now)
        return " ".join(word for word, heard_at in takewhile(lambda w: w[1] <= played, self._words))

    def played(self, since: int, until: int) -> str:
        """The words that were played between two numbers of samples into the reply."""
        return " ".join(word for word, heard_at in self._words if since < heard_at <= until)

    def speaking(self, now: float) -> str:
        """What was heard by now, up to the end of the sentence that is being spoken."""
        text, heard = " ".join(word for word, _ in self._words), len(self.heard_text(now))
        ends = (end.end() for end in sentence_ends(text))
        return text[: next((end for end in ends if end > heard), len(text))].rstrip()

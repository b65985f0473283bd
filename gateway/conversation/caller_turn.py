"""The caller's turn while it is open: its audio and what of it has been recognised."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gateway.audio.pcm import Samples, samples_of, seconds
from gateway.conversation.lexicon import words_of


@dataclass(slots=True)
class _Part:
    """A piece of the turn that is recognised on its own."""

    pieces: list[Samples] = field(default_factory=list)
    length: int = 0
    revision: int = 0
    text: str | None = None
    last_text: str = ""
    """What was known of it before it grew."""
    avg_logprob: float = 0.0
    """How sure the recogniser was of the words that it heard last."""
    retried: bool = False

    def samples(self) -> Samples:
        return np.concatenate(self.pieces) if self.pieces else np.zeros(0, dtype=np.int16)


class CallerTurn:
    """Audio in, requests for recognition out, text in, the turn's whole text out.

    A short turn is one part, recognised as a whole after every pause. A long one is cut into
    parts, so that a monologue is never recognised from its beginning again.
    """

    def __init__(self, number: int, audio: Samples) -> None:
        self.number = number
        self.revision = 0
        self.speech_ended_at = 0.0
        self.avg_logprob = 0.0
        """How sure the recogniser was of the last part."""
        self.committed = ""
        """What was accepted as the whole turn; noise that reopens it takes nothing back."""
        self.suspected_echo: tuple[str, str] | None = None
        """Own words of the assistant that may be all there is in it: played before it began to be
        heard, and since."""
        self._parts = [_Part()]
        self.append(audio)

    def append(self, samples: Samples) -> None:
        """Add audio (int16, 16 kHz) to the part that is open."""
        part = self._parts[-1]
        part.pieces.append(samples)
        part.length += len(samples)

    @property
    def part(self) -> int:
        """Number of the part that is open, from 1."""
        return len(self._parts)

    @property
    def earlier_text(self) -> str | None:
        """What was said in the parts before the open one, or None while a result is missing."""
        return _joined(self._parts[:-1])

    @property
    def open_ms(self) -> float:
        """Length of the part that is still growing."""
        return seconds(self._parts[-1].length) * 1000

    def recent(self, ms: float) -> Samples:
        """The last audio of the open part, at most ``ms`` of it."""
        return self._parts[-1].samples()[-samples_of(ms / 1000) :]

    def keep_last(self, ms: float) -> None:
        """Forget the open part's audio but for its end."""
        kept = self.recent(ms).copy()
        self._parts[-1].pieces, self._parts[-1].length = [kept], len(kept)

    def request(self) -> tuple[int, Samples]:
        """The open part's audio under a new revision; its earlier results are void."""
        part = self._parts[-1]
        self.revision += 1
        part.last_text = part.text or part.last_text
        part.revision, part.text, part.retried = self.revision, None, False
        return part.revision, part.samples()

    def cut(self) -> None:
        """Close the open part, whose result is on its way or known, and begin the next one."""
        self._parts.append(_Part())

    def settle(self, min_ms: int, audio: Samples) -> None:
        """Keep the open part's text for good if it is known and the part is long enough.

        The next part begins with ``audio``: the onset of the speech that goes on.
        """
        part = self._parts[-1]
        if part.text is not None and part.length >= samples_of(min_ms / 1000):
            part.pieces.clear()
            self.cut()
            self.append(audio)

    def accept(self, revision: int, text: str, avg_logprob: float, doubt: float) -> bool:
        """Take a result; False when it is for a revision that no longer counts.

        Noise after words may hide them from the recogniser: a result without words takes back only
        those that were in doubt, with a mean log-probability below ``doubt``.
        """
        part = self._waiting_for(revision)
        if part is None:
            return False
        part.text = text.strip() if words_of(text) else ""  # "..." is how noise is written
        if part.text:
            part.avg_logprob = avg_logprob
        elif part.last_text and part.avg_logprob >= doubt:
            part.text, avg_logprob = part.last_text, part.avg_logprob
        self.avg_logprob = avg_logprob
        if part is not self._parts[-1]:
            part.pieces.clear()
        return True

    def doubt(self) -> None:
        """What is known of the open part may be no words: an empty result takes it back."""
        self._parts[-1].avg_logprob = -math.inf

    def retry(self, revision: int) -> tuple[int, Samples] | None:
        """A second request after a failure, or None when there was one already."""
        part = self._waiting_for(revision)
        if part is None or part.retried:
            return None
        self.revision += 1
        part.revision, part.retried = self.revision, True
        return part.revision, part.samples()

    def give_up(self, revision: int) -> None:
        """No result will come: what was known of the part before stands."""
        if (part := self._waiting_for(revision)) is not None:
            part.text = part.last_text

    def waits_for(self, revision: int) -> bool:
        """Whether a result for this revision still counts."""
        return self._waiting_for(revision) is not None

    def _waiting_for(self, revision: int) -> _Part | None:
        return next((p for p in self._parts if p.revision == revision and p.text is None), None)

    @property
    def known_text(self) -> str:
        """What is known to have been said, where a result may be missing; no words of our own."""
        return "" if self.suspected_echo else self.text or self.committed or self.earlier_text or ""

    @property
    def text(self) -> str | None:
        """What the caller said, or None while a result is missing."""
        text = _joined(self._parts)
        return text if text is None else text or self.committed


def _joined(parts: list[_Part]) -> str | None:
    texts = [part.text for part in parts]
    if any(text is None for text in texts):
        return None
    return " ".join(text for text in texts if text)

"""The assistant's replies as they arrive at the caller: when each began, paused and ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.audio.pcm import Samples, seconds

AUDIBLE = 130
"""Samples above this (-48 dBFS) are heard, the rest is silence."""

_PAUSE_S = 0.15
"""Audio leaves every 40 ms: a longer gap inside a reply is a pause, or an underrun."""

_UNTOLD_S = 1.2
"""A reply of which less than this was sent may be cut before a word of it was heard."""


@dataclass(slots=True)
class Reply:
    """One reply as the caller received it; times are call times in seconds.

    Attributes:
        begun_s: arrival of its first audio; ``plays_s``: when that is heard.
        audible_s: arrival of its last audible audio.
        sent_s: length of its audio.
        text: what the gateway says was heard of it; None until told.
        transcript: number of that transcript in the call, from 0.
        resumed_s: when it went on after its last pause; None if it never paused.
    """

    begun_s: float
    plays_s: float
    audible_s: float
    last_s: float
    sent_s: float = 0.0
    text: str | None = None
    transcript: int | None = None
    resumed_s: float | None = None


class ReplyTrack:
    """Sorts the audio and transcripts of a call into replies, in order of arrival.

    A reply ends with the transcript of what was heard of it. One that was cut before a word was
    heard has none; the transcript of the caller's next turn ends it.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.transcripts = 0
        """Transcripts of the assistant so far."""
        self._open: Reply | None = None

    @property
    def last(self) -> Reply | None:
        """The newest reply."""
        return self.replies[-1] if self.replies else None

    @property
    def open(self) -> Reply | None:
        """The reply that has begun and whose transcript has not come."""
        return self._open

    def hear(self, samples: Samples, now: float, plays_s: float) -> None:
        """Audio arrived; it is heard from ``plays_s`` on."""
        reply = self._open
        if reply is None:
            reply = self._open = Reply(now, plays_s, now, now)
            self.replies.append(reply)
        if now - reply.last_s > _PAUSE_S:
            reply.resumed_s = now
        reply.last_s = now
        reply.sent_s += seconds(samples.size)
        if samples.size and int(np.abs(samples.astype(np.int32)).max()) > AUDIBLE:
            reply.audible_s = now

    def read_assistant(self, text: str) -> None:
        """What was heard of a reply was told."""
        if self._open is not None:
            self._open.text, self._open.transcript = text, self.transcripts
            self._open = None
        self.transcripts += 1

    def read_caller(self) -> None:
        """A turn of the caller was told: what comes now answers it."""
        if self._open is not None and self._open.sent_s < _UNTOLD_S:
            self._open = None

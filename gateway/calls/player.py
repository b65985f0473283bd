"""Plays replies to the far side in real time; the only writer of a call's audio."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable

import numpy as np

from gateway.audio.pcm import Samples, samples_of, seconds
from gateway.calls.base import CallTransport
from gateway.conversation.events import CoreEvent, PlayoutStarted, SpeechSent

log = logging.getLogger(__name__)

CHUNK_S = 0.04
"""Most audio per message: short enough to stop soon, long enough to be cheap."""

_MIN_CHUNK_S = 0.02
"""Least audio per message, unless nothing follows it (docs/protocols.md §1.2)."""

_FADE_S = 0.02
"""Length of the fade at a pause: short enough to be silent soon, long enough not to click."""

_TICK_S = 0.001
"""Not worth sleeping for."""

_MAX_BUFFER_S = 4.0
"""Speech of a reply kept ahead of playout before synthesis has to wait: enough to outlast a busy
moment. What is synthesised sooner makes the first words of other calls wait for it."""


class Player:
    """Paces by sample count: audio leaves at most the transport's lead ahead of the ear, and the
    fade of a pause on top of that.

    A player holds one reply at a time, told by its generation; speech of any other is dropped.

    Args:
        transport: where audio goes.
        clock: monotonic seconds.
        feed: takes PlayoutStarted and SpeechSent.
    """

    def __init__(
        self,
        transport: CallTransport,
        clock: Callable[[], float],
        feed: Callable[[CoreEvent], None],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._feed = feed
        self._pending: deque[Samples] = deque()
        self._pending_samples = 0
        self._generation = 0
        self._held = True
        self._paused = False
        self._started = False
        self._gap_expected = False
        self._gap_told = False
        self._complete = True
        self._plays_until = 0.0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self.underruns = 0
        """Gaps inside a reply: speech came later than the ear needed it."""

    def open(self, generation: int, *, hold: bool) -> None:
        """A new reply takes over; what is left of an older one is dropped."""
        self.clear()
        self._generation, self._held = generation, hold
        self._started = self._complete = self._gap_expected = self._gap_told = False

    def release(self, generation: int) -> None:
        """Let a held reply be heard."""
        if generation == self._generation:
            self._held = False
            self._wake.set()

    def clear(self) -> None:
        """Drop everything that was not sent, and what may still come of that reply."""
        self._generation = 0
        self._paused = False
        self._pending.clear()
        self._pending_samples = 0
        self._complete = True
        self._room.set()

    def pause(self, generation: int) -> None:
        """Fall silent: what follows is faded out and kept."""
        if generation != self._generation or self._paused:
            return
        self._paused = True
        if self._started and self._pending:
            fade = self._pending[0][: samples_of(_FADE_S)]
            self._transport.send_audio(_faded(fade, 1.0, 0.0))
            now = self._clock()
            self._plays_until = max(self._plays_until, now) + seconds(len(fade))

    def resume(self, generation: int) -> None:
        """Go on from the sample at which ``pause`` began to fade."""
        if generation == self._generation and self._paused:
            self._paused = False
            self._plays_until = max(self._plays_until, self._clock())  # the pause was no gap
            if self._pending:
                first = self._pending[0]
                edge = samples_of(_FADE_S)
                faded = _faded(first[:edge], 0.0, 1.0)
                self._pending[0] = np.concatenate((faded, first[edge:]))
            self._wake.set()

    def interlude(self, generation: int, samples: Samples) -> bool:
        """Play something short before the reply; False when the reply is already there."""
        if generation != self._generation or self._started or self._pending:
            return False
        self._pending.append(samples)
        self._pending_samples += len(samples)
        self._gap_expected = True
        self._wake.set()
        return True

    async def enqueue(self, generation: int, samples: Samples) -> None:
        """Add speech (int16, 16 kHz); waits while far ahead of playout."""
        while generation == self._generation and seconds(self._pending_samples) > _MAX_BUFFER_S:
            self._room.clear()
            await self._room.wait()
        if generation == self._generation:
            self._pending.append(samples)
            self._pending_samples += len(samples)
            self._wake.set()

    def needed_at(self, generation: int) -> float:
        """When the ear runs dry of this reply unless more speech is enqueued; see `Need`.

        Returns:
            monotonic seconds; in the past if the ear waits already, and infinity while the reply
            is held or paused, because the caller may never hear the rest of it.
        """
        if generation != self._generation or self._held or self._paused:
            return math.inf
        # Not `_pending`, which is empty for a moment when a chunk is cut off in the other thread.
        if not self._pending_samples:
            return self._plays_until
        return max(self._plays_until, self._clock()) + seconds(self._pending_samples)

    def complete(self, generation: int) -> None:
        """The reply has been enqueued to its end: silence from here on is no underrun."""
        if generation == self._generation:
            self._complete = True

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            if self._held or self._paused or not self._pending:
                self._wake.clear()
                await self._wake.wait()
                continue
            now = self._clock()
            early = self._plays_until - now + CHUNK_S - self._transport.max_lead_s
            if early > _TICK_S:
                await asyncio.sleep(early)
                continue  # the reply may have been dropped meanwhile
            self._send(self._take(), now)

    def _send(self, samples: Samples, now: float) -> None:
        if not self._started:
            self._started = True
            self._feed(PlayoutStarted(self._generation))
        elif now - self._plays_until > _TICK_S:
            self._note_gap(now - self._plays_until)
        self._transport.send_audio(samples)
        self._plays_until = max(self._plays_until, now) + seconds(len(samples))
        self._feed(SpeechSent(self._generation, len(samples), samples))

    def _note_gap(self, gap_s: float) -> None:
        if self._gap_expected:  # between an interlude and its reply
            self._gap_expected = False
            return
        self.underruns += 1
        # The first of a reply: a machine that has too much to do makes twenty in a second.
        level = logging.DEBUG if self._gap_told else logging.INFO
        self._gap_told = True
        log.log(level, "playout underrun: speech came %.0f ms late", gap_s * 1000)

    def _take(self) -> Samples:
        piece = self._pending.popleft()
        most, least = samples_of(CHUNK_S), samples_of(_MIN_CHUNK_S)
        while self._pending and min(len(piece), len(self._pending[0])) < least:
            piece = np.concatenate((piece, self._pending.popleft()))
        if len(piece) > most:
            length = min(most, len(piece) - least)
            self._pending.appendleft(piece[length:])
            piece = piece[:length]
        self._pending_samples -= len(piece)
        self._room.set()
        return piece


def _faded(samples: Samples, start: float, end: float) -> Samples:
    """Samples with their level going from one factor to another."""
    ramp = np.linspace(start, end, len(samples))
    faded: Samples = (samples * ramp).astype(np.int16)
    return faded

"""One conversation: events and the time go in, commands and the next deadline come out.

    conversation.receive(event, now)
    for command in conversation.commands():
        shell.execute(command)
    shell.arm_timer(conversation.next_deadline())     # then conversation.handle_timer(now)

There is no I/O, no thread and no clock in here: the same inputs give the same commands.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from gateway.audio.framing import Framer
from gateway.audio.pcm import FRAME_MS, FRAME_SAMPLES, Samples, seconds
from gateway.conversation.commands import Command
from gateway.conversation.events import (
    CoreEvent,
    PartialReady,
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.phase import Phase
from gateway.conversation.policy import Policy
from gateway.conversation.segmenter import Segmenter, VoiceDetector
from gateway.conversation.turns import TurnMachine
from gateway.events import (
    AudioReceived,
    CallEnded,
    CallStarted,
    OptionsChanged,
    ReplyRequested,
    TextReceived,
)

_FRAME_S = FRAME_MS / 1000
_LONGEST_GAP_S = 2.0
"""A longer gap is no way of sending; the client had stopped."""

_SILENCE: Samples = np.zeros(FRAME_SAMPLES, dtype=np.int16)


class Conversation:
    """Facade of the core: cuts audio into frames, stands in for missing audio, dispatches events.

    Args:
        policy: every threshold and fixed phrase.
        voice: voice detector of this call, frame (320 samples) -> bool.
    """

    def __init__(self, policy: Policy, voice: VoiceDetector) -> None:
        self._stall_s = policy.speech.stall_ms / 1000
        self._segmenter = Segmenter(voice, policy.speech, policy.endpoint.pause_ms)
        self._machine = TurnMachine(policy, self._segmenter)
        self._framer = Framer()
        self._heard_until = 0.0
        """Call time up to which the caller's line is accounted for."""
        self._last_audio_at: float | None = None
        self._usual_gap_s = 0.0
        """Longest recent gap between chunks: what this line does while it is alive."""

    @property
    def phase(self) -> Phase:
        """Who has the floor."""
        return self._machine.phase

    @property
    def live_generation(self) -> int | None:
        """The reply that is being prepared or played."""
        live = self._machine.replies.live
        return live.generation if live else None

    def waits_for(self, turn: int, revision: int) -> bool:
        """Whether the result of a ``Transcribe`` would still count."""
        expected = self._machine.recognised_turn
        return expected is not None and expected.number == turn and expected.waits_for(revision)

    def commands(self) -> list[Command]:
        """Everything ordered since the last call, in order."""
        return self._machine.commands()

    def receive(self, event: CoreEvent, now: float) -> None:
        """Take one event at call time ``now`` (seconds, never going back)."""
        if self.phase is Phase.ENDED:
            return
        machine = self._machine
        match event:
            case AudioReceived(samples):
                self._hear(samples, now)
            case SpeechSent():
                machine.replies.sent(event, now)
            case SpeechQueued():
                machine.replies.queued(event)
            case TranscriptReady():
                machine.transcript_ready(event, now)
            case TranscriptFailed():
                machine.transcript_failed(event, now)
            case PartialReady():
                machine.partial_ready(event)
            case PlayoutStarted():
                machine.playout_started(event, now)
            case ReplyEnded():
                machine.reply_ended(event, now)
            case ReplyFailed():
                machine.reply_failed(event, now)
            case CallStarted(language):
                machine.start(language, now)
            case TextReceived(text):
                machine.text_received(text, now)
            case ReplyRequested():
                machine.reply_requested()
            case OptionsChanged(language):
                machine.set_language(language)
            case CallEnded():
                machine.end(now)
            case _:
                assert_never(event)

    def next_deadline(self) -> float | None:
        """Call time at which ``handle_timer`` must be called, or None."""
        deadlines = [self._machine.next_deadline(), self._stall_deadline()]
        return min((d for d in deadlines if d is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """A deadline has passed; every elapsed one is consumed or moved."""
        self._machine.handle_timer(now)
        stalled = self._stall_deadline()
        if stalled is not None and stalled <= now:
            while self._heard_until + _FRAME_S <= now + 1e-9:
                self._heard_until += _FRAME_S
                self._machine.hear(_SILENCE, self._heard_until)

    def _hear(self, samples: Samples, now: float) -> None:
        self._note_gap(now)
        frames = self._framer.push(samples)
        # The last frame of a chunk was spoken just now, the ones before it earlier.
        first = now - seconds(FRAME_SAMPLES * (len(frames) - 1))
        for index, frame in enumerate(frames):
            self._heard_until = max(self._heard_until, first + index * _FRAME_S)
            self._machine.hear(frame, self._heard_until)

    def _note_gap(self, now: float) -> None:
        if self._last_audio_at is not None:
            gap = now - self._last_audio_at
            if gap < _LONGEST_GAP_S:
                # Forgotten slowly: some clients send half a second at a time, all through the call.
                self._usual_gap_s = max(gap, 0.98 * self._usual_gap_s)
        self._last_audio_at = now

    def _stall_deadline(self) -> float | None:
        """When silence has to stand in for audio that does not come, if anybody waits for it."""
        waiting = self._segmenter.speaking or self.phase is Phase.ENDPOINTING
        if not waiting or self.phase is Phase.ENDED:
            return None
        patience = max(self._stall_s, 1.5 * self._usual_gap_s)
        return max((self._last_audio_at or 0.0) + patience, self._heard_until + _FRAME_S)

"""Speech over the assistant, until it is known what it means."""

from __future__ import annotations

from gateway.audio.echo import EchoDetector
from gateway.audio.pcm import FRAME_MS, Samples
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.interruption import interrupts
from gateway.conversation.policy import Policy

_ECHO_CHECK_FRAMES = 5


class Overlap:
    """May become the caller's next turn; its audio is kept from its onset.

    Attributes:
        turn: the turn it becomes if it interrupts.
        dismissed: judged once not to interrupt; the assistant goes on while it lasts.
        judged_ms: speech in it when it was last sent to be recognised.
    """

    def __init__(self, turn: CallerTurn, echo: EchoDetector, window_ms: int) -> None:
        self.turn = turn
        self.dismissed = False
        self.judged_ms = 0
        self._echo = echo
        self._window_ms = window_ms
        self._unchecked_frames = _ECHO_CHECK_FRAMES
        self._is_echo = True

    def append(self, frame: Samples) -> None:
        """The next frame of the caller's line."""
        self.turn.append(frame)
        self._unchecked_frames += 1

    def speech_began(self) -> None:
        """Another stretch of speech: it is judged anew, together with the one before."""
        self.dismissed = False
        self.judged_ms = 0

    def is_voice(self, speech_ms: int, min_ms: int, at: float) -> bool:
        """Whether a person speaks: long enough, and not our own voice come back.

        Checked again every 100 ms, because a caller may begin to speak over an echo.
        """
        if speech_ms < min_ms:
            return False
        if self._is_echo and self._unchecked_frames >= _ECHO_CHECK_FRAMES:
            self._unchecked_frames = 0
            recent = self.turn.recent(self._window_ms)
            self._is_echo = self._echo.is_echo(recent, at)
            if self._is_echo:
                # What came back so far is not the caller's; their onset is kept.
                self.turn.keep_last(self._window_ms + _ECHO_CHECK_FRAMES * FRAME_MS)
        return not self._is_echo

    @property
    def awaits_words(self) -> bool:
        """Whether recognition was ordered and has not answered yet."""
        return self.turn.revision > 0 and self.turn.text is None

    def interrupts(self, language: str, speaking: str, speech_ms: int, policy: Policy) -> bool:
        """Whether the words that were recognised are meant to stop the assistant.

        Args:
            speaking: what the assistant is saying.
            speech_ms: how long the caller spoke; short words in doubt are taken for a grunt.
        """
        in_doubt = self.turn.avg_logprob < policy.endpoint.doubt_logprob
        grunt = in_doubt and speech_ms <= policy.barge_in.short_ms
        return interrupts(self.turn.text or "", language, speaking, grunt=grunt)

"""Speech over the assistant, until it is known what it means."""

from __future__ import annotations

from gateway.audio.echo import MAX_DELAY_S, EchoDetector
from gateway.audio.pcm import FRAME_MS, Samples, samples_of, seconds
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.interruption import interrupts
from gateway.conversation.playout import PlayoutLedger
from gateway.conversation.policy import Policy

_ECHO_CHECK_FRAMES = 5
_LONGEST_ECHO_CHECK_S = 0.5
"""Takes 2 ms of the loop; a second would take 5."""

_SHORTEST_ECHO_CHECK_S = 0.1
"""Less sound resembles anything."""

_SOONEST_ANSWER_S = 0.4
"""Nobody answers words sooner: the line, the ear and our detection of speech take time. As long
as a word, of which the last may have been cut off when an echo made us fall silent."""


def is_only_echo(echo: EchoDetector, heard: Samples, ends_at: float) -> bool:
    """Whether sound is our own voice from its beginning to its end, and no caller's before it."""
    longest = samples_of(_LONGEST_ECHO_CHECK_S)
    for end in range(len(heard), 0, -longest):
        piece = heard[max(0, end - longest) : end]
        checked = len(piece) >= samples_of(_SHORTEST_ECHO_CHECK_S)
        if checked and not echo.is_echo(piece, ends_at - seconds(len(heard) - end)):
            return False
    return True


class Overlap:
    """May become the caller's next turn; its audio is kept from its onset.

    Attributes:
        turn: the turn it becomes if it interrupts.
        dismissed: judged once not to interrupt; the assistant goes on while it lasts.
        judged_ms: length of the stretch of speech that goes on when it was sent to be recognised;
            0 when it was not.
        longest_ms: the longest stretch of speech in it.
    """

    def __init__(
        self, turn: CallerTurn, echo: EchoDetector, ledger: PlayoutLedger, policy: Policy, at: float
    ) -> None:
        self.turn = turn
        self.dismissed = False
        self.judged_ms = 0
        self.longest_ms = 0
        self._echo = echo
        self._ledger = ledger
        self._policy = policy
        self._window_ms = policy.barge_in.echo_window_ms
        self._began = ledger.heard_samples(at)
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

    def dismiss(self) -> None:
        """It does not interrupt, as far as it was judged."""
        self.dismissed = self.judged_ms > 0  # else speech has begun that was not judged yet
        self.turn.doubt()

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
                self._began = self._ledger.heard_samples(at)
        return not self._is_echo

    @property
    def awaits_words(self) -> bool:
        """Whether recognition was ordered and has not answered yet."""
        return self.turn.revision > 0 and self.turn.text is None

    def interrupts(self, language: str, now: float) -> bool:
        """Whether the words that were recognised are meant to stop the assistant."""
        ledger, began = self._ledger, self._began
        answerable = began - samples_of(_SOONEST_ANSWER_S)
        return interrupts(
            self.turn.text or "",
            language,
            ledger.speaking(now),
            ledger.played(began - samples_of(MAX_DELAY_S), answerable),
            ledger.played(answerable, ledger.heard_samples(now)),
            short=self.longest_ms <= self._policy.barge_in.short_ms,
            in_doubt=self.turn.avg_logprob < self._policy.endpoint.doubt_logprob,
        )

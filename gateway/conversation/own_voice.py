"""Our own voice, come back over the line: by its sound, and by its words."""

from __future__ import annotations

from gateway.audio.echo import MAX_DELAY_S, EchoDetector
from gateway.audio.pcm import FRAME_MS, Samples, samples_of, seconds
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.interruption import Verdict, judge
from gateway.conversation.playout import PlayoutLedger

_CHECK_FRAMES = 5
_LONGEST_CHECK_S = 0.5
"""Takes 2 ms of the loop; a second would take 5."""

_SHORTEST_CHECK_S = 0.1
"""Less sound resembles anything."""

_SOONEST_ANSWER_S = 0.4
"""Nobody answers words sooner: the line, the ear and our detection of speech take time. As long
as a word, of which the last may have been cut off when an echo made us fall silent."""


def is_only_echo(echo: EchoDetector, heard: Samples, ends_at: float) -> bool:
    """Whether sound is our own voice from its beginning to its end, and no caller's before it."""
    longest = samples_of(_LONGEST_CHECK_S)
    for end in range(len(heard), 0, -longest):
        piece = heard[max(0, end - longest) : end]
        checked = len(piece) >= samples_of(_SHORTEST_CHECK_S)
        if checked and not echo.is_echo(piece, ends_at - seconds(len(heard) - end)):
            return False
    return True


def is_own_words(turn: CallerTurn) -> bool:
    """Whether a turn that began as an echo of our words is nothing else; asked once of a turn."""
    played, turn.suspected_echo = turn.suspected_echo, None
    if played is None:
        return False
    return judge(turn.text or "", "", *played) is Verdict.OWN_WORDS


class OwnVoice:
    """What of our own voice may be in speech over the assistant.

    Args:
        ledger: of what the assistant says meanwhile.
        window_ms: stretch of sound that is compared with it.
        at: call time at which the speech began, in seconds.

    Attributes:
        is_all: nothing else was heard so far.
    """

    def __init__(
        self, echo: EchoDetector, ledger: PlayoutLedger, window_ms: int, at: float
    ) -> None:
        self.is_all = True
        self._echo = echo
        self._ledger = ledger
        self._window_ms = window_ms
        self._others_began = ledger.heard_samples(at)
        """How much of ours had been played when somebody else may have begun to speak."""
        self._unchecked_frames = _CHECK_FRAMES

    def frame_passed(self) -> None:
        """The line has brought another frame."""
        self._unchecked_frames += 1

    def came_back(self, turn: CallerTurn, at: float) -> bool:
        """Whether all of the turn so far has just been found to be our voice; then it goes.

        Checked again every 100 ms, because a caller may begin to speak over an echo.
        """
        if not self.is_all or self._unchecked_frames < _CHECK_FRAMES:
            return False
        self._unchecked_frames = 0
        self.is_all = self._echo.is_echo(turn.recent(self._window_ms), at)
        if self.is_all:
            turn.keep_last(self._window_ms + _CHECK_FRAMES * FRAME_MS)  # a caller's onset is kept
            self._others_began = self._ledger.heard_samples(at)
        return self.is_all

    def words(self, now: float) -> tuple[str, str]:
        """Our words that may have come back: played too early to be answered by it, and since."""
        began = self._others_began
        answerable = began - samples_of(_SOONEST_ANSWER_S)
        before = self._ledger.played(began - samples_of(MAX_DELAY_S), answerable)
        return before, self._ledger.played(answerable, self._ledger.heard_samples(now))

"""Speech over the assistant, until it is known what it means."""

from __future__ import annotations

import math
from enum import Enum

from gateway.audio.echo import MAX_DELAY_S, EchoDetector
from gateway.audio.pcm import FRAME_MS, Samples, samples_of, seconds
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.interruption import Verdict, judge
from gateway.conversation.policy import Policy
from gateway.conversation.replies import LiveReply

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


class Step(Enum):
    """What speech over the assistant calls for."""

    PAUSE = "the reply falls silent until it is judged"
    JUDGE = "its words are recognised"
    GIVE_WAY = "no verdict came in time: the caller has the floor"


class Overlap:
    """May become the caller's next turn; its audio is kept from its onset.

    Args:
        reply: what the assistant says meanwhile.
        at: call time at which speech over it began, in seconds.

    Attributes:
        turn: the turn it becomes if it interrupts.
        dismissed: judged not to interrupt so far; the assistant goes on while it is judged again.
    """

    def __init__(
        self, turn: CallerTurn, echo: EchoDetector, reply: LiveReply, policy: Policy, at: float
    ) -> None:
        self.turn = turn
        self.dismissed = False
        self._echo_ms = 0
        """Length of the stretch of speech that goes on when all of it was still our own voice."""
        self._own_ms = 0
        """What of that stretch is the caller's own."""
        self._judged_ms = 0
        """What of it had been when it was sent to be recognised last; 0 when it was not."""
        self._text = ""
        """What was recognised last."""
        self._said_more = False
        """Whether those are words of the caller, and not the same as before."""
        self._repeats_us = False
        """Whether those are our own."""
        self._longest_ms = 0
        """The longest stretch of the caller's own."""
        self._echo = echo
        self._ledger = reply.ledger
        self._ends_call = bool(reply.hang_up)
        self._policy = policy
        self._began = reply.ledger.heard_samples(at)
        self._unchecked_frames = _ECHO_CHECK_FRAMES
        self._is_echo = True

    def append(self, frame: Samples) -> None:
        """The next frame of the caller's line."""
        self.turn.append(frame)
        self._unchecked_frames += 1

    def speech_began(self) -> None:
        """Another stretch of speech: it is judged anew, together with the one before."""
        self.dismissed = False
        self._echo_ms = self._own_ms = self._judged_ms = 0

    def went_on(self, speech_ms: int, at: float, *, paused: bool) -> Step | None:
        """The stretch of speech is this long by now; ``paused`` tells that the reply is silent."""
        policy = self._policy.barge_in
        self._own_ms = speech_ms - self._echo_ms
        if not self._is_voice(speech_ms, at):
            return None
        self._longest_ms = max(self._longest_ms, self._own_ms)
        if not paused and not self.dismissed:
            return Step.PAUSE
        if paused and self._own_ms >= policy.undecided_ms:
            return Step.GIVE_WAY
        if self._own_ms >= self._judge_at_ms:
            self._judged_ms = self._own_ms
            return Step.JUDGE
        return None

    @property
    def _judge_at_ms(self) -> float:
        """Length of the caller's own at which it is judged next."""
        judge_ms = self._policy.barge_in.judge_ms
        if not self._judged_ms:
            return judge_ms
        if self.awaits_words:
            return math.inf
        # Noise and an echo may last as long as the reply, and cost a recognition each time.
        return self._judged_ms + (judge_ms if self._said_more else self._judged_ms)

    @property
    def has_more(self) -> bool:
        """Whether it went on after it was judged: the verdict is about its beginning only."""
        return self.dismissed and self._own_ms > self._judged_ms

    def dismiss(self) -> None:
        """It does not interrupt, as far as it was judged."""
        self.dismissed = self._judged_ms > 0  # else speech has begun that was not judged yet
        self.turn.doubt()

    def _is_voice(self, speech_ms: int, at: float) -> bool:
        """Whether a person speaks: long enough, and not our own voice come back.

        Checked again every 100 ms, because a caller may begin to speak over an echo.
        """
        policy = self._policy.barge_in
        if self._own_ms < policy.pause_ms:
            return False
        if self._is_echo and self._unchecked_frames >= _ECHO_CHECK_FRAMES:
            self._unchecked_frames = 0
            recent = self.turn.recent(policy.echo_window_ms)
            self._is_echo = self._echo.is_echo(recent, at)
            if self._is_echo:
                # What came back so far is not the caller's; their onset is kept.
                self.turn.keep_last(policy.echo_window_ms + _ECHO_CHECK_FRAMES * FRAME_MS)
                self._began = self._ledger.heard_samples(at)
                self._echo_ms, self._own_ms = speech_ms, 0
        return not self._is_echo

    @property
    def awaits_words(self) -> bool:
        """Whether recognition was ordered and has not answered yet."""
        return self.turn.revision > 0 and self.turn.text is None

    def judge(self, language: str, now: float) -> Verdict:
        """What the words mean that were recognised in this language."""
        text = self.turn.text or ""
        verdict = judge(
            text,
            language,
            self._ledger.speaking(now),
            *self._played(now),
            short=self._longest_ms <= self._policy.barge_in.short_ms,
            in_doubt=self.turn.avg_logprob < self._policy.endpoint.doubt_logprob,
        )
        self._said_more = verdict is Verdict.BACKCHANNEL and text != self._text
        self._repeats_us = verdict is Verdict.OWN_WORDS
        self._text = text
        if self._ends_call and verdict is Verdict.BACKCHANNEL:
            return Verdict.INTERRUPTS  # whoever says anything over the goodbye is there
        return verdict

    def next_turn(self, now: float) -> CallerTurn:
        """The turn it becomes, because it interrupts or the reply has ended meanwhile."""
        if self._repeats_us:
            self.turn.suspected_echo = self._played(now)
        return self.turn

    def _played(self, now: float) -> tuple[str, str]:
        """Our words that may have come back: played too early to be answered by it, and since."""
        ledger, began = self._ledger, self._began
        answerable = began - samples_of(_SOONEST_ANSWER_S)
        before = ledger.played(began - samples_of(MAX_DELAY_S), answerable)
        return before, ledger.played(answerable, ledger.heard_samples(now))

"""Speech over the assistant, until it is known what it means."""

from __future__ import annotations

import math
from enum import Enum

from gateway.audio.echo import EchoDetector
from gateway.audio.pcm import Samples
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.interruption import Verdict, judge
from gateway.conversation.own_voice import OwnVoice
from gateway.conversation.policy import Policy
from gateway.conversation.replies import LiveReply


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
        self._caller_ms = 0
        """What of that stretch is the caller's."""
        self._judged_ms = 0
        """What of it had been when it was sent to be recognised last; 0 when it was not."""
        self._longest_ms = 0
        """The longest stretch of the caller's so far."""
        self._text = ""
        """What was recognised last."""
        self._said_more = False
        """Whether those are words of the caller, and not the same as before."""
        self._verdict = Verdict.NOISE
        self._reply = reply
        self._policy = policy
        self._own_voice = OwnVoice(echo, reply.ledger, policy.barge_in.echo_window_ms, at)

    def append(self, frame: Samples) -> None:
        """The next frame of the caller's line."""
        self.turn.append(frame)
        self._own_voice.frame_passed()

    def speech_began(self) -> None:
        """Another stretch of speech: it is judged anew, together with the one before."""
        self.dismissed = False
        self._echo_ms = self._caller_ms = self._judged_ms = 0

    def went_on(self, speech_ms: int, at: float, *, paused: bool) -> Step | None:
        """The stretch of speech is this long by now; ``paused`` tells that the reply is silent."""
        policy = self._policy.barge_in
        self._caller_ms = speech_ms - self._echo_ms
        if self._caller_ms < policy.pause_ms:
            return None
        if self._own_voice.came_back(self.turn, at):
            self._echo_ms, self._caller_ms = speech_ms, 0
        if self._own_voice.is_all:
            return None
        self._longest_ms = max(self._longest_ms, self._caller_ms)
        if not paused and not self.dismissed:
            return Step.PAUSE
        if paused and self._caller_ms >= policy.undecided_ms:
            return Step.GIVE_WAY
        if self._caller_ms >= self._judge_at_ms:
            self._judged_ms = self._caller_ms
            return Step.JUDGE
        return None

    @property
    def _judge_at_ms(self) -> float:
        """Length of what the caller said at which it is judged next."""
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
        return self.dismissed and self._caller_ms > self._judged_ms

    def dismiss(self) -> None:
        """It does not interrupt, as far as it was judged."""
        self.dismissed = self._judged_ms > 0  # else speech has begun that was not judged yet
        self.turn.doubt()

    @property
    def awaits_words(self) -> bool:
        """Whether recognition was ordered and has not answered yet."""
        return self.turn.revision > 0 and self.turn.text is None

    def judge(self, now: float) -> Verdict:
        """What the words mean that were recognised."""
        text = self.turn.text or ""
        self._verdict = judge(
            text,
            self._reply.ledger.speaking(now),
            *self._own_voice.words(now),
            short=self._longest_ms <= self._policy.barge_in.short_ms,
            in_doubt=self.turn.avg_logprob < self._policy.endpoint.doubt_logprob,
        )
        if self._reply.hang_up and self._verdict is Verdict.BACKCHANNEL:
            self._verdict = Verdict.INTERRUPTS  # who says anything over the goodbye is there
        self._said_more = self._verdict is Verdict.BACKCHANNEL and text != self._text
        self._text = text
        return self._verdict

    def next_turn(self, now: float) -> CallerTurn:
        """The turn it becomes, because it interrupts or the reply has ended meanwhile."""
        if self._verdict is Verdict.OWN_WORDS:
            self.turn.suspected_echo = self._own_voice.words(now)
        return self.turn

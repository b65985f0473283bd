"""Who has the floor. The only file that changes the phase of a conversation."""

from __future__ import annotations

from gateway.audio.echo import EchoDetector
from gateway.audio.pcm import Samples
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.commands import Command, HangUp, NotifyError, NotifyTranscript
from gateway.conversation.endpointing import Endpointing
from gateway.conversation.events import (
    PartialReady,
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.history import History
from gateway.conversation.interruption import Verdict
from gateway.conversation.language import LanguageTracker
from gateway.conversation.overlap import Overlap, Step
from gateway.conversation.own_voice import is_only_echo, is_own_words
from gateway.conversation.patience import Patience, Reminder
from gateway.conversation.phase import Phase
from gateway.conversation.policy import PhraseName, Policy
from gateway.conversation.recognition import Recognition
from gateway.conversation.replies import Replies
from gateway.conversation.segmenter import Change, Segmenter


class TurnMachine:
    """Takes what is heard and what the engines answer; says what to do next.

    ``now`` and ``at`` are call times in seconds. Results that come too late (an old generation, an
    old revision, a duplicate) change nothing.
    """

    def __init__(self, policy: Policy, segmenter: Segmenter) -> None:
        self._policy = policy
        self._segmenter = segmenter
        self._language = LanguageTracker(policy.default_language)
        self._history = History()
        self._echo = EchoDetector()
        self._commands: list[Command] = []
        self.replies = Replies(self._commands, self._history, self._language, self._echo, policy)
        self._recognition = Recognition(self._commands, self._language, policy)
        self._endpointing = Endpointing(policy.endpoint)
        self._patience = Patience(policy.patience)
        self._turn: CallerTurn | None = None
        self._overlap: Overlap | None = None
        self._turns = 0
        self.phase = Phase.LISTENING

    def commands(self) -> list[Command]:
        """Everything ordered since the last call, in order."""
        ordered, self._commands[:] = self._commands[:], []
        return ordered

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` wants to be called next."""
        if self.phase is Phase.ENDED:
            return None
        deadlines = [
            self.replies.plays_until,
            self.replies.acknowledge_at(self._policy.patience.acknowledge_ms),
            self._patience.next_deadline(listening=self.phase is Phase.LISTENING),
        ]
        return min((at for at in deadlines if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """The last sample of a reply may have been played, or somebody was silent for long."""
        ends = self.replies.plays_until
        if ends is not None and ends <= now:
            self._hand_over(self.replies.close(now, interrupted=False).hang_up, now)
        if self.phase is Phase.ENDED:  # perhaps just now, by a goodbye that was heard to its end
            return
        late = self.replies.acknowledge_at(self._policy.patience.acknowledge_ms)
        if late is not None and late <= now:
            self.replies.acknowledge()
        if reminder := self._patience.due(now, listening=self.phase is Phase.LISTENING):
            self._remind(reminder, now)

    def start(self, language: str | None, now: float) -> None:
        """The call begins: greet the caller."""
        self._language.pin(language)
        self._patience.call_started(now)
        self._say("greeting", now)

    def set_language(self, language: str | None) -> None:
        """Pin another language from now on, or None to follow the caller."""
        self._language.pin(language)

    def end(self, now: float) -> None:
        """The call is over; nothing may happen after this."""
        self._leave_turn()
        self.replies.cancel(now)
        self._overlap = None
        self.phase = Phase.ENDED

    def _remind(self, reminder: Reminder, now: float) -> None:
        time_is_up = reminder is Reminder.TIME_IS_UP
        if time_is_up:  # the one that interrupts whoever speaks
            self._leave_turn()
            self.replies.cancel(now)
            self._overlap = None
        self._say(reminder.phrase, now, hang_up=reminder.hang_up)
        if time_is_up and self.replies.live is not None:  # and that nobody interrupts
            self.phase = Phase.CLOSING

    def _say(self, phrase: PhraseName, now: float, *, hang_up: str = "") -> None:
        """Say a fixed phrase if the profile has it."""
        if self.replies.say(phrase, hang_up):
            self.phase = Phase.THINKING
        elif hang_up:
            self._hang_up(hang_up)
        else:
            self.phase = Phase.LISTENING
            self._patience.fell_quiet(now)

    def _hang_up(self, reason: str) -> None:
        self._commands.append(HangUp(reason))
        self.phase = Phase.ENDED

    def hear(self, frame: Samples, at: float) -> None:
        """The next frame of the caller's line, spoken at call time ``at``."""
        change = self._segmenter.push(frame)
        recording = self._turn or self._overlap
        if recording is not None:
            recording.append(frame)
        match change:
            case Change.STARTED:
                self._speech_started(at)
            case Change.PAUSED:
                self._speech_paused(at)
            case None:
                self._went_on(at)

    def _speech_started(self, at: float) -> None:
        match self.phase:
            case Phase.LISTENING:
                self._take_floor(self._new_turn())
            case Phase.ENDPOINTING | Phase.THINKING:
                self._reopen_turn(at)
            case Phase.SPEAKING if self._overlap is None and (reply := self.replies.live):
                self._overlap = Overlap(self._new_turn(), self._echo, reply, self._policy, at)
            case Phase.SPEAKING | Phase.INTERRUPTED if self._overlap is not None:
                self._overlap.speech_began()

    def _speech_paused(self, at: float) -> None:
        match self.phase:
            case Phase.USER_SPEAKING if self._turn is not None:
                self._pause_turn(self._turn, at)
            case Phase.SPEAKING | Phase.INTERRUPTED if self._overlap is not None:
                self._overlap_paused(self._overlap, at)

    def _pause_turn(self, turn: CallerTurn, at: float) -> None:
        heard = turn.recent(self._segmenter.stretch_ms)
        if not turn.revision and is_only_echo(self._echo, heard, at):
            self._drop_turn()  # the end of our own reply, come back late
            return
        self._recognise(turn, at)
        self.phase = Phase.ENDPOINTING

    def _went_on(self, at: float) -> None:
        """Speech or silence lasted one frame longer."""
        match self.phase:
            case Phase.USER_SPEAKING if self._turn is not None:
                self._recognition.went_on(self._turn, at - self._segmenter.silence_ms / 1000)
            case Phase.ENDPOINTING:
                self._end_turn_if_over(at)
            case Phase.SPEAKING | Phase.INTERRUPTED if self._overlap and self._segmenter.speaking:
                self._overlap_went_on(self._overlap, at)

    def _new_turn(self) -> CallerTurn:
        return CallerTurn(self._turns + 1, self._segmenter.recent())

    def _take_floor(self, turn: CallerTurn) -> None:
        self._turn, self._overlap = turn, None
        self._turns = max(self._turns, turn.number)
        self.phase = Phase.USER_SPEAKING

    def _reopen_turn(self, at: float) -> None:
        """The caller goes on before anything was heard: it is still the same turn."""
        if self._turn is None:  # the reply was a greeting or an apology: nothing to go on with
            self.replies.put_off(at)
            self._take_floor(self._new_turn())
            return
        self.replies.cancel(at)
        paused_ms = self._segmenter.paused_ms
        if self.phase is Phase.THINKING:
            self._endpointing.cut_off()
        elif self._turn.text is not None or paused_ms <= self._policy.endpoint.unsure_ms:
            self._endpointing.went_on(paused_ms)  # else the silence may have been a wait for us
        self._history.take_back(self._turn.number)
        self._turn.settle(self._policy.speech.settle_ms, self._segmenter.recent())
        self.phase = Phase.USER_SPEAKING

    def _leave_turn(self) -> None:
        """Nothing more will be added to the turn; its words, as far as they are known, stand."""
        turn, self._turn = self._turn, None
        if self.phase is Phase.THINKING:
            self.replies.tell_caller_text()
        elif turn is not None and (text := turn.known_text):
            self.replies.commit(turn.number, text)
            self._commands.append(NotifyTranscript("caller", text, turn.number))
        elif turn is not None:
            self._recognition.dropped(turn)

    def _drop_turn(self) -> None:
        """It was noise: the floor is free, unless the assistant still has to say something."""
        turn, self._turn = self._turn, None
        if turn is not None:
            self._recognition.dropped(turn)
        self.phase = Phase.THINKING if self.replies.give_again() else Phase.LISTENING

    def _overlap_went_on(self, overlap: Overlap, at: float) -> None:
        paused = self.phase is Phase.INTERRUPTED
        match overlap.went_on(self._segmenter.speech_ms, at, paused=paused):
            case Step.PAUSE:
                self.replies.pause()
                self.phase = Phase.INTERRUPTED
            case Step.JUDGE:
                self._recognise(overlap.turn, at)
            case Step.GIVE_WAY:
                self._interrupt(overlap, at)

    def _overlap_paused(self, overlap: Overlap, at: float) -> None:
        if self.phase is Phase.INTERRUPTED or overlap.has_more:
            self._recognise(overlap.turn, at)
        elif not overlap.awaits_words:
            self._overlap = None  # too short, an echo, or judged already

    def _dismiss(self, overlap: Overlap) -> None:
        """Speech over the assistant does not stop it."""
        if self.phase is Phase.INTERRUPTED:
            self.replies.resume()
            self.phase = Phase.SPEAKING
        overlap.dismiss()
        self._overlap = overlap if self._segmenter.speaking else None

    def _interrupt(self, overlap: Overlap, now: float) -> None:
        """The caller means it: their words are the next turn, from the first one on."""
        reply = self.replies.live
        if reply is not None and reply.turn and reply.started_at is not None:
            self._endpointing.interrupted_after((now - reply.started_at) * 1000)
        self.replies.cancel(now)
        self._give_floor(overlap, now)

    def _give_floor(self, overlap: Overlap, now: float) -> None:
        self._take_floor(overlap.next_turn(now))
        self._patience.fell_quiet(now)
        if not self._segmenter.speaking:
            self.phase = Phase.ENDPOINTING
            self._answer_ahead(now)

    def transcript_ready(self, event: TranscriptReady, now: float) -> None:
        """A result for the open turn or for speech over the assistant, or one too late."""
        if not self._recognition.accepted(self.recognised_turn, event):
            return
        overlap = self._overlap
        if overlap is not None and overlap.judge(now) is not Verdict.INTERRUPTS:
            self._dismiss(overlap)
            return
        self._recognition.heard(event)
        if overlap is not None:
            self._interrupt(overlap, now)
        elif self.phase is Phase.ENDPOINTING:
            self._answer_ahead(now)

    def partial_ready(self, event: PartialReady) -> None:
        """What the caller has said so far."""
        self._recognition.partial_ready(self._turn, event)

    def transcript_failed(self, event: TranscriptFailed, now: float) -> None:
        """Recognition failed: it is tried once more, then the caller is asked to repeat."""
        if not self._recognition.given_up(self.recognised_turn, event):
            return
        if self._overlap is not None:
            self._dismiss(self._overlap)
        elif self.phase is Phase.ENDPOINTING:
            self._answer_ahead(now)  # what else is known of the turn, once all of it is
            if self._turn is None and self.replies.live is None:
                self._say("apology", now)

    @property
    def recognised_turn(self) -> CallerTurn | None:
        """The turn whose words are awaited."""
        return self._turn or (self._overlap.turn if self._overlap else None)

    def _answer_ahead(self, now: float) -> None:
        """The turn has paused; once its words are known, prepare the reply to them."""
        turn = self._turn
        if turn is None or turn.text is None:
            return
        if not turn.text or is_own_words(turn):
            self._drop_turn()
            return
        self._patience.caller_spoke(now)
        self.replies.speculate(turn, turn.text)
        self._end_turn_if_over(now)

    def _end_turn_if_over(self, now: float) -> None:
        turn = self._turn
        if turn is None or not turn.text:
            return
        wait_ms = self._endpointing.wait_ms(turn.text, self._history.last_reply, turn.avg_logprob)
        if self._segmenter.silence_ms < wait_ms:
            return
        if self.replies.live is None:  # the speculative reply failed: this one counts
            self.replies.speculate(turn, turn.text)
        turn.committed = turn.text
        self.replies.commit(turn.number, turn.text)
        self.replies.release(now)
        self.phase = Phase.THINKING

    def _recognise(self, turn: CallerTurn, at: float) -> None:
        self._recognition.order(turn, at - self._segmenter.silence_ms / 1000)

    def text_received(self, text: str, now: float) -> None:
        """The caller typed a turn. Speech in progress keeps the floor and is answered with it."""
        if self.phase in (Phase.CLOSING, Phase.ENDED):
            return
        if self.phase not in (Phase.USER_SPEAKING, Phase.ENDPOINTING):
            self._leave_turn()
        self._patience.caller_spoke(now)
        speaking = self.recognised_turn
        self.replies.cancel(now)
        self._turns = (speaking.number if speaking else self._turns) + 1
        self.replies.commit(self._turns, text)
        self._commands.append(NotifyTranscript("caller", text, self._turns))
        if self._overlap is not None:
            self._give_floor(self._overlap, now)
        elif speaking is None:
            self.replies.answer()
            self.phase = Phase.THINKING
        elif self.phase is Phase.ENDPOINTING and speaking.text:
            self.replies.speculate(speaking, speaking.text)

    def reply_requested(self) -> None:
        """The far side wants the assistant to speak; ignored while somebody has the floor."""
        if self.phase is Phase.LISTENING:
            self.replies.answer()
            self.phase = Phase.THINKING

    def reply_ended(self, event: ReplyEnded, now: float) -> None:
        """All of the reply has been synthesised."""
        reply = self.replies.matching(event.generation)
        if reply is None:
            return
        if reply.ledger.empty:
            self.reply_failed(ReplyFailed(event.generation, "the reply holds no speech"), now)
            return
        reply.ledger.complete = True
        self.handle_timer(now)

    def playout_started(self, event: PlayoutStarted, now: float) -> None:
        """The reply is about to be heard: from here on the caller's turn is closed."""
        reply = self.replies.matching(event.generation)
        if reply is None or self.phase is not Phase.THINKING:
            return
        reply.started_at = now
        if reply.turn:
            self._endpointing.turn_over()
        self._leave_turn()
        self.phase = Phase.SPEAKING

    def reply_failed(self, event: ReplyFailed, now: float) -> None:
        """The reply broke off: apologise, unless it was only speculation or an apology itself."""
        reply = self.replies.matching(event.generation)
        if reply is None:
            return
        if event.gave_way and self.phase is Phase.THINKING:
            self.phase = Phase.ENDPOINTING  # the turn ended before this was known
        if self.phase is Phase.ENDPOINTING:
            self.replies.drop()
            self._end_turn_if_over(now)
            return
        self._commands.append(NotifyError(event.code, event.reason))
        self._leave_turn()
        self.replies.cancel(now)
        if reply.phrase is not None or self._overlap is not None:
            self._hand_over(reply.hang_up, now)
        else:
            self._say("apology", now)

    def _hand_over(self, hang_up: str, now: float) -> None:
        """The assistant has finished: the floor is free, or the caller's who spoke meanwhile."""
        overlap = self._overlap
        may_stay = self.phase is Phase.INTERRUPTED or (overlap is not None and overlap.awaits_words)
        if hang_up and not may_stay:
            self._hang_up(hang_up)
        elif overlap is not None:
            self._give_floor(overlap, now)
        else:
            self.phase = Phase.LISTENING
            self._patience.fell_quiet(now)

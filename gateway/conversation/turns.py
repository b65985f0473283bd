"""Who has the floor. The only file that changes the phase of a conversation."""

from __future__ import annotations

from enum import Enum, auto

from gateway.audio.pcm import Samples
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.commands import (
    Command,
    CommitTurn,
    NotifyError,
    NotifyTranscript,
    Prompt,
    Script,
    Transcribe,
)
from gateway.conversation.events import (
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.history import History
from gateway.conversation.language import LanguageTracker
from gateway.conversation.policy import Phrases, Policy
from gateway.conversation.replies import Replies
from gateway.conversation.segmenter import Change, Segmenter


class Phase(Enum):
    """Where a conversation stands; docs/architecture.md §6 has the table of transitions."""

    LISTENING = auto()
    USER_SPEAKING = auto()
    ENDPOINTING = auto()
    THINKING = auto()
    SPEAKING = auto()
    ENDED = auto()


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
        self._commands: list[Command] = []
        self._replies = Replies(self._commands, self._history)
        self._turn: CallerTurn | None = None
        self._overlap: CallerTurn | None = None
        """Speech over the assistant that may become the next turn."""
        self._turns = 0
        self.phase = Phase.LISTENING

    def commands(self) -> list[Command]:
        """Everything ordered since the last call, in order."""
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    @property
    def live_generation(self) -> int | None:
        """The reply that is being prepared or played."""
        return self._replies.live.generation if self._replies.live else None

    def next_deadline(self) -> float | None:
        """When ``handle_timer`` wants to be called next."""
        return self._replies.live.ledger.plays_until if self._replies.live else None

    def handle_timer(self, now: float) -> None:
        """The last sample of a reply may have been played."""
        ends = self.next_deadline()
        if ends is not None and ends <= now:
            self._playout_done(now)

    # ------------------------------------------------------------------ the call

    def start(self, language: str | None) -> None:
        """The call begins: greet the caller."""
        self._language.pin(language)
        if self.phase is Phase.LISTENING and (greeting := self._phrases().greeting):
            self._reply_now(Script(greeting))

    def set_language(self, language: str | None) -> None:
        """Pin another language from now on, or None to follow the caller."""
        self._language.pin(language)

    def end(self, now: float) -> None:
        """The call is over; nothing may happen after this."""
        self._leave_turn()
        self._replies.cancel(now)
        self._overlap = None
        self.phase = Phase.ENDED

    # ------------------------------------------------------------------ the caller's voice

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
            case Phase.SPEAKING:
                self._overlap = self._new_turn()
            case Phase.USER_SPEAKING | Phase.ENDED:
                pass

    def _speech_paused(self, at: float) -> None:
        match self.phase:
            case Phase.USER_SPEAKING:
                assert self._turn is not None
                self._turn.speech_ended_at = at - self._segmenter.silence_ms / 1000
                self._transcribe(self._turn, *self._turn.request())
                self.phase = Phase.ENDPOINTING
            case Phase.SPEAKING:
                self._overlap = None  # too short to interrupt: a cough
            case _:
                pass

    def _went_on(self, at: float) -> None:
        """Speech or silence lasted one frame longer."""
        match self.phase:
            case Phase.USER_SPEAKING:
                self._cut_monologue(at)
            case Phase.ENDPOINTING:
                self._end_turn_if_over()
            case Phase.SPEAKING if self._overlap is not None:
                if self._segmenter.speech_ms >= self._policy.barge_in.speech_ms:
                    self._replies.cancel(at)
                    self._take_floor(self._overlap)
            case _:
                pass

    def _new_turn(self) -> CallerTurn:
        return CallerTurn(self._turns + 1, self._segmenter.recent())

    def _take_floor(self, turn: CallerTurn) -> None:
        self._turn, self._overlap = turn, None
        self._turns = max(self._turns, turn.number)
        self.phase = Phase.USER_SPEAKING

    def _reopen_turn(self, at: float) -> None:
        """The caller goes on before anything was heard: it is still the same turn."""
        self._replies.cancel(at)
        if self._turn is None:  # the reply was a greeting or an apology: nothing to go on with
            self._take_floor(self._new_turn())
            return
        self._history.take_back(self._turn.number)
        self._turn.settle(self._policy.speech.settle_ms, self._segmenter.recent())
        self.phase = Phase.USER_SPEAKING

    def _cut_monologue(self, at: float) -> None:
        assert self._turn is not None
        if self._turn.open_ms >= self._policy.speech.max_part_ms:
            self._turn.speech_ended_at = at
            self._transcribe(self._turn, *self._turn.request())
            self._turn.cut()

    def _leave_turn(self) -> None:
        """Nothing more will be added to the turn; if it was committed, its words stand."""
        if self.phase is Phase.THINKING:
            self._replies.tell_caller_text()
        self._turn = None

    # ------------------------------------------------------------------ the end of a turn

    def transcript_ready(self, event: TranscriptReady) -> None:
        """A result for the open turn, or one that came too late."""
        turn = self._turn
        if turn is None or turn.number != event.turn:
            return
        if not turn.accept(event.revision, event.text):
            return
        if event.text:
            self._language.heard(event.language, event.language_probability)
        if self.phase is not Phase.ENDPOINTING or turn.text is None:
            return
        if turn.text:
            self._speculate(turn, turn.text)
            self._end_turn_if_over()
        else:
            self._turn = None
            self.phase = Phase.LISTENING

    def transcript_failed(self, event: TranscriptFailed) -> None:
        """Recognition failed: try once more, then apologise."""
        turn = self._turn
        if turn is None or turn.number != event.turn or not turn.waits_for(event.revision):
            return
        if (again := turn.retry(event.revision)) is not None:
            self._transcribe(turn, *again)
            return
        self._commands.append(NotifyError("asr_unavailable", event.reason))
        if self.phase is Phase.ENDPOINTING:
            self._turn = None
            self._reply_now(Script(self._phrases().apology))
        else:  # the caller is still speaking: this part is lost, the rest is not
            turn.accept(event.revision, "")

    def _end_turn_if_over(self) -> None:
        turn = self._turn
        if turn is None or not turn.text:
            return
        if self._segmenter.silence_ms < self._policy.endpoint.end_ms:
            return
        if self._replies.live is None:  # the speculative reply failed: this one counts
            self._speculate(turn, turn.text)
        self._commit(turn.number, turn.text)
        self._replies.release()
        self.phase = Phase.THINKING

    def _commit(self, turn: int, text: str) -> None:
        self._history.caller_said(turn, text)
        self._commands.append(CommitTurn(turn, text, self._language.current))

    def _transcribe(self, turn: CallerTurn, revision: int, samples: Samples) -> None:
        self._commands.append(
            Transcribe(turn.number, revision, samples, self._language.pinned, turn.speech_ended_at)
        )

    # ------------------------------------------------------------------ turns without speech

    def text_received(self, text: str, now: float) -> None:
        """The caller typed a turn. Speech in progress keeps the floor and is answered with it."""
        if self.phase is Phase.ENDED:
            return
        if self.phase not in (Phase.USER_SPEAKING, Phase.ENDPOINTING):
            self._leave_turn()
        speaking = self._turn or self._overlap
        self._replies.cancel(now)
        self._turns = (speaking.number if speaking else self._turns) + 1
        self._commit(self._turns, text)
        self._commands.append(NotifyTranscript("caller", text, self._turns))
        if speaking is None:
            self._reply_now(Prompt(self._history.utterances()))
        elif self.phase is not Phase.ENDPOINTING:
            self._take_floor(speaking)
        elif speaking.text:
            self._speculate(speaking, speaking.text)

    def reply_requested(self) -> None:
        """The far side wants the assistant to speak; ignored while somebody has the floor."""
        if self.phase is Phase.LISTENING:
            self._reply_now(Prompt(self._history.utterances()))

    # ------------------------------------------------------------------ the reply

    def _phrases(self) -> Phrases:
        phrases = self._policy.phrases
        return phrases.get(self._language.current) or phrases[self._policy.default_language]

    def _speculate(self, turn: CallerTurn, text: str) -> None:
        """Prepare the reply before it is known that the turn is over."""
        prompt = Prompt(self._history.utterances(text))
        answers = (turn.number, turn.revision)
        self._replies.start(
            prompt, self._language.current, hold=True, answers=answers, caller_text=text
        )

    def _reply_now(self, source: Prompt | Script) -> None:
        self._replies.start(source, self._language.current, hold=False)
        self.phase = Phase.THINKING

    def speech_queued(self, event: SpeechQueued) -> None:
        """A piece of the reply has been synthesised."""
        if reply := self._replies.matching(event.generation):
            reply.ledger.queued(event.words, event.samples)

    def reply_ended(self, event: ReplyEnded, now: float) -> None:
        """All of the reply has been synthesised."""
        reply = self._replies.matching(event.generation)
        if reply is None:
            return
        if reply.ledger.empty:
            self.reply_failed(ReplyFailed(event.generation, "the reply holds no speech"), now)
            return
        reply.ledger.complete = True
        self.handle_timer(now)

    def playout_started(self, event: PlayoutStarted) -> None:
        """The reply is about to be heard: from here on the caller's turn is closed."""
        if self._replies.matching(event.generation) and self.phase is Phase.THINKING:
            self._leave_turn()
            self.phase = Phase.SPEAKING

    def speech_sent(self, event: SpeechSent, now: float) -> None:
        """Samples of the reply are on their way to the caller's ear."""
        if reply := self._replies.matching(event.generation):
            reply.ledger.sent(event.samples, now)

    def _playout_done(self, now: float) -> None:
        self._replies.close(now, interrupted=False)
        self._hand_over()

    def reply_failed(self, event: ReplyFailed, now: float) -> None:
        """The reply broke off: apologise, unless it was only speculation or an apology itself."""
        reply = self._replies.matching(event.generation)
        if reply is None:
            return
        if self.phase is Phase.ENDPOINTING:
            self._replies.drop()
            return
        self._commands.append(NotifyError("llm_unavailable", event.reason))
        self._leave_turn()
        self._replies.cancel(now)
        if reply.scripted or self._overlap is not None:
            self._hand_over()
        else:
            self._reply_now(Script(self._phrases().apology))

    def _hand_over(self) -> None:
        """The assistant has finished: the floor is free, or the caller's who spoke meanwhile."""
        if self._overlap is not None:
            self._take_floor(self._overlap)
        else:
            self.phase = Phase.LISTENING

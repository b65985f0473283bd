"""The assistant's replies: at most one is alive, and history keeps what was heard of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.audio.echo import EchoDetector
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.commands import (
    Acknowledge,
    CancelReply,
    Command,
    CommitTurn,
    NotifyTranscript,
    PauseReply,
    Prompt,
    ReleaseReply,
    ResumeReply,
    Script,
    StartReply,
)
from gateway.conversation.events import SpeechQueued, SpeechSent
from gateway.conversation.history import History
from gateway.conversation.language import LanguageTracker
from gateway.conversation.playout import PlayoutLedger
from gateway.conversation.policy import PhraseName, Policy


@dataclass(slots=True)
class LiveReply:
    """The reply that is being prepared or played.

    Attributes:
        turn: the caller's turn it answers; 0 for none.
        caller_text: that turn's words, told to the far side once the reply is heard; "" when they
            were told already.
        phrase: which fixed phrase it is; None when the chat model finds its words.
    """

    generation: int
    turn: int
    caller_text: str
    phrase: PhraseName | None
    hang_up: str = ""
    """Why the call ends once the reply was heard; "" when it does not."""
    released_at: float | None = None
    started_at: float | None = None
    acknowledged: bool = False
    ledger: PlayoutLedger = field(default_factory=PlayoutLedger)


class Replies:
    """Starts and ends replies, one at a time.

    Args:
        commands: where orders are appended.
        history: where heard words are kept.
        language: in which replies are given.
        echo: told what was played.
        policy: fixed phrases.
    """

    def __init__(
        self,
        commands: list[Command],
        history: History,
        language: LanguageTracker,
        echo: EchoDetector,
        policy: Policy,
    ) -> None:
        self._commands = commands
        self._history = history
        self._language = language
        self._echo = echo
        self._policy = policy
        self._generations = 0
        self._put_off: LiveReply | None = None
        self.live: LiveReply | None = None

    def matching(self, generation: int) -> LiveReply | None:
        """The live reply if it is this generation; anything else came too late."""
        if self.live is not None and self.live.generation == generation:
            return self.live
        return None

    def speculate(self, turn: CallerTurn, text: str) -> None:
        """Prepare the answer to a turn before it is known that the turn is over."""
        self._history.take_back(turn.number)  # it was over before, and its answer came to nothing
        prompt = Prompt(self._history.utterances(text))
        self._start(prompt, hold=True, answers=(turn.number, turn.revision), caller_text=text)

    def answer(self) -> None:
        """Answer what has been said so far."""
        self._start(Prompt(self._history.utterances()), hold=False)

    def say(self, phrase: PhraseName, hang_up: str = "") -> bool:
        """Say a fixed phrase in the call's language; False when the profile has none.

        ``hang_up`` tells why the call ends after it, if it does.
        """
        text: str = getattr(self._policy.phrases_in(self._language.current), phrase)
        if text:
            self._start(Script(text), hold=False, phrase=phrase, hang_up=hang_up)
        return bool(text)

    def commit(self, turn: int, text: str) -> None:
        """Accept a turn of the caller; replies from now on take it for said."""
        self._history.caller_said(turn, text)
        self._commands.append(CommitTurn(turn, text, self._language.current))

    def _start(
        self,
        source: Prompt | Script,
        *,
        hold: bool,
        answers: tuple[int, int] = (0, 0),
        caller_text: str = "",
        phrase: PhraseName | None = None,
        hang_up: str = "",
    ) -> None:
        assert self.live is None
        self._generations += 1
        turn, revision = answers
        self.live = LiveReply(self._generations, turn, caller_text, phrase, hang_up)
        self._commands.append(
            StartReply(self._generations, turn, revision, self._language.current, source, hold)
        )

    def release(self, now: float) -> None:
        """Let the live reply be heard."""
        assert self.live is not None
        self._put_off = None  # not before: noise may have been taken for a word
        self.live.released_at = now
        self._commands.append(ReleaseReply(self.live.generation))

    def queued(self, event: SpeechQueued) -> None:
        """A piece of a reply has been synthesised."""
        if reply := self.matching(event.generation):
            reply.ledger.queued(event.words, event.samples)

    def sent(self, event: SpeechSent, now: float) -> None:
        """Samples of a reply are on their way to the caller's ear."""
        if reply := self.matching(event.generation):
            plays_at = reply.ledger.sent(event.samples, now)
            if event.audio is not None:
                self._echo.played(event.audio, plays_at)

    @property
    def plays_until(self) -> float | None:
        """Call time when the live reply has been heard to its end, if that is known."""
        return self.live.ledger.plays_until if self.live else None

    def acknowledge_at(self, after_ms: int) -> float | None:
        """When the wait for a released reply that is not yet heard has become long."""
        reply = self.live
        if not after_ms or reply is None or reply.released_at is None:
            return None
        if reply.acknowledged or reply.started_at is not None:
            return None
        return reply.released_at + after_ms / 1000

    def acknowledge(self) -> None:
        """Ask the caller to hold on, once for each reply."""
        assert self.live is not None
        self.live.acknowledged = True
        language = self._language.current
        if text := self._policy.phrases_in(language).acknowledgement:
            self._commands.append(Acknowledge(self.live.generation, text, language))

    def pause(self) -> None:
        """Fall silent, but keep what was not sent."""
        assert self.live is not None
        self._commands.append(PauseReply(self.live.generation))

    def resume(self) -> None:
        """Go on from where the reply fell silent."""
        assert self.live is not None
        self._commands.append(ResumeReply(self.live.generation))

    def cancel(self, now: float) -> None:
        """Stop the live reply, if any, and keep what was heard of it."""
        if self.live is not None:
            self._commands.append(CancelReply(self.live.generation))
            self.close(now, interrupted=True)

    def put_off(self, now: float) -> None:
        """Stop the live reply before it is heard, until it is known whether the caller speaks."""
        put_off = self.live
        self.cancel(now)
        self._put_off = put_off

    def give_again(self) -> bool:
        """It was noise: answer what the caller said before, or give again what was put off."""
        reply, self._put_off = self._put_off, None
        answer_due = self._history.awaits_answer
        if reply is not None and reply.phrase is not None and not answer_due:
            return self.say(reply.phrase, reply.hang_up)
        if reply is None and not answer_due:
            return False
        self.answer()
        return True

    def drop(self) -> None:
        """Forget the live reply, which broke off before anything of it could be heard."""
        self.live = None

    def tell_caller_text(self) -> None:
        """Tell the far side, once, what the caller said that the live reply answers."""
        reply = self.live
        if reply is not None and reply.caller_text:
            self._commands.append(NotifyTranscript("caller", reply.caller_text, reply.turn))
            reply.caller_text = ""

    def close(self, now: float, *, interrupted: bool) -> LiveReply:
        """End the live reply: history and the far side get the words that were heard."""
        reply, self.live = self.live, None
        assert reply is not None
        if heard := reply.ledger.heard_text(now):
            self._history.assistant_said(heard, interrupted=interrupted)
            self._commands.append(
                NotifyTranscript("assistant", heard, reply.turn, reply.generation, interrupted)
            )
        return reply

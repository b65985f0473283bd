"""Orders the recognition of the caller's speech, and tries once more when it fails."""

from __future__ import annotations

from gateway.audio.pcm import Samples
from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.commands import Command, NotifyError, Transcribe
from gateway.conversation.events import PartialReady, TranscriptFailed, TranscriptReady
from gateway.conversation.language import LanguageTracker
from gateway.conversation.lexicon import digits_of, words_of
from gateway.conversation.partials import Partials
from gateway.conversation.policy import Policy


class Recognition:
    """Puts Transcribe commands into ``commands`` and matches their results to a turn."""

    def __init__(self, commands: list[Command], language: LanguageTracker, policy: Policy) -> None:
        self._commands = commands
        self._language = language
        self._policy = policy
        self._partials = Partials(commands, policy.speech)

    def order(self, turn: CallerTurn, speech_ended_at: float) -> None:
        """Recognise what the open part of the turn holds by now."""
        turn.speech_ended_at = speech_ended_at
        self._transcribe(turn, *turn.request())

    def went_on(self, turn: CallerTurn, speech_ended_at: float) -> None:
        """The caller speaks on: a monologue is recognised in parts, and told as it grows."""
        if turn.open_ms >= self._policy.speech.max_part_ms:
            self.order(turn, speech_ended_at)
            turn.cut()
        else:
            self._partials.went_on(turn, self._language.pinned)

    def partial_ready(self, turn: CallerTurn | None, event: PartialReady) -> None:
        """What the caller has said so far, of a turn that goes on."""
        if turn is not None and turn.number == event.turn:
            self._partials.ready(turn, event)

    def dropped(self, turn: CallerTurn) -> None:
        """The turn was nothing: what was told of it is taken back."""
        self._partials.dropped(turn)

    def accepted(self, turn: CallerTurn | None, event: TranscriptReady) -> bool:
        """Whether a result is for this turn and still counts; the turn then has its text."""
        doubt = self._policy.endpoint.doubt_logprob
        return (
            turn is not None
            and turn.number == event.turn
            and turn.accept(event.revision, event.text, event.avg_logprob, doubt)
        )

    def heard(self, event: TranscriptReady) -> None:
        """The caller's words tell which language they speak, each once.

        Numbers and e-mail addresses do not: many say them in another one.
        """
        said = words_of(" ".join(part for part in event.text.split() if "@" not in part))
        if words := {word for word in said if not digits_of(word)}:
            probability = event.language_probability
            self._language.heard(event.language, probability, len(words), event.turn)

    def given_up(self, turn: CallerTurn | None, event: TranscriptFailed) -> bool:
        """Whether a failure is for this turn and final: its first is tried again if it may be.

        The part of the turn that is given up keeps what was known of it.
        """
        if turn is None or turn.number != event.turn or not turn.waits_for(event.revision):
            return False
        if event.may_retry and (again := turn.retry(event.revision)) is not None:
            self._transcribe(turn, *again)
            return False
        self._commands.append(NotifyError("asr_unavailable", event.reason))
        turn.give_up(event.revision)
        return True

    def _transcribe(self, turn: CallerTurn, revision: int, samples: Samples) -> None:
        self._commands.append(
            Transcribe(turn.number, revision, samples, self._language.pinned, turn.speech_ended_at)
        )

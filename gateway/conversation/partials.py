"""What can be told of a long utterance before it is over.

Local agreement: words are told once two consecutive hypotheses agree on them, and stay told
("Turning Whisper into Real-Time Transcription System", Macháček et al. 2023, with n = 2) until the
part of the turn that they are of has its transcript, which is told in their place.
"""

from __future__ import annotations

from gateway.conversation.caller_turn import CallerTurn
from gateway.conversation.commands import (
    Command,
    NotifyPartial,
    NotifyTranscript,
    TranscribePartial,
)
from gateway.conversation.events import PartialReady
from gateway.conversation.lexicon import words_of
from gateway.conversation.policy import SpeechPolicy


class LocalAgreement:
    """Words of one utterance, told in order and never taken back."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._last: list[str] = []

    def push(self, hypothesis: str) -> None:
        """Take the newest hypothesis of the whole utterance."""
        words = hypothesis.split()
        start = end = len(self.told)
        while end < min(len(words), len(self._last)) and _same(words[end], self._last[end]):
            end += 1
        self.told += words[start:end]
        self._last = words


def _same(a: str, b: str) -> bool:
    return words_of(a) == words_of(b)


class Partials:
    """Orders hypotheses of the open part of a turn, and tells what of them is stable."""

    def __init__(self, commands: list[Command], policy: SpeechPolicy) -> None:
        self._commands = commands
        self._policy = policy
        self._part = (0, 0)
        """The turn and its part that the hypotheses are of."""
        self._due_ms = 0.0
        self._ordered = self._received = 0
        self._agreement = LocalAgreement()
        self._told = (0, "")
        """The turn and the text that were told last."""

    def went_on(self, turn: CallerTurn, language: str | None) -> None:
        """The open part has become longer."""
        if (turn.number, turn.part) != self._part:
            self._part = (turn.number, turn.part)
            self._due_ms = float(self._policy.partial_ms)
            self._received = self._ordered  # what was ordered for another part is void
            self._agreement = LocalAgreement()
        if not self._policy.partial_ms or turn.open_ms < self._due_ms:
            return
        self._due_ms = turn.open_ms + self._policy.partial_every_ms
        self._ordered += 1
        samples = turn.recent(turn.open_ms)
        self._commands.append(TranscribePartial(turn.number, self._ordered, samples, language))

    def dropped(self, turn: CallerTurn) -> None:
        """The turn has no words after all: who was told some is told that it was nothing."""
        if self._told[0] == turn.number:
            self._told = (0, "")
            self._commands.append(NotifyTranscript("caller", "", turn.number))

    def ready(self, turn: CallerTurn, event: PartialReady) -> None:
        """A hypothesis; one for another part, or older than the last one, is ignored."""
        if (turn.number, turn.part) != self._part or event.number <= self._received:
            return
        self._received = event.number
        self._agreement.push(event.text)
        earlier = turn.earlier_text
        if earlier is None:
            return  # the words would stand without those before them
        text = " ".join(filter(None, (earlier, *self._agreement.told)))
        if text and self._told != (turn.number, text):
            self._told = (turn.number, text)
            self._commands.append(NotifyPartial(turn.number, text, event.language))

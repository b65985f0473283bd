"""What has been said in a call and was really heard, as the chat model is to see it."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.conversation.commands import Speaker, Utterance

CUT_OFF = "—"
"""Ends what the assistant said when it was cut off: how written dialogue shows it."""


@dataclass(slots=True)
class _Entry:
    speaker: Speaker
    text: str
    turn: int
    interrupted: bool = False


class History:
    """Utterances in order; a caller's turn can be replaced or taken back while it is the last."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def caller_said(self, turn: int, text: str) -> None:
        """Accept a turn of the caller; the same turn again replaces its text."""
        self.take_back(turn)
        self._entries.append(_Entry("caller", text, turn))

    def take_back(self, turn: int) -> None:
        """Forget a caller's turn that turned out not to be over; does nothing if unknown."""
        if self.awaits_answer and self._entries[-1].turn == turn:
            self._entries.pop()

    def assistant_said(self, text: str, *, interrupted: bool = False) -> None:
        """Add what was heard of a reply; nothing heard adds nothing."""
        if text:
            self._entries.append(_Entry("assistant", text, 0, interrupted))

    @property
    def awaits_answer(self) -> bool:
        """Whether the caller spoke last."""
        return bool(self._entries) and self._entries[-1].speaker == "caller"

    @property
    def last_reply(self) -> str:
        """What was last heard of the assistant."""
        said = (entry.text for entry in reversed(self._entries) if entry.speaker == "assistant")
        return next(said, "")

    def utterances(self, caller_now: str = "") -> tuple[Utterance, ...]:
        """Everything said, then ``caller_now``; neighbours of one speaker are joined.

        Joined, because most chat templates accept strictly alternating roles only. A reply that
        was cut off keeps the mark of it where another one follows.
        """
        said = [Utterance(entry.speaker, entry.text, entry.interrupted) for entry in self._entries]
        if caller_now:
            said.append(Utterance("caller", caller_now))
        merged: list[Utterance] = []
        for utterance in said:
            if merged and merged[-1].speaker == utterance.speaker:
                text = f"{marked(merged.pop())} {utterance.text}"
                utterance = Utterance(utterance.speaker, text, utterance.interrupted)
            merged.append(utterance)
        return tuple(merged)


def marked(utterance: Utterance) -> str:
    """The words of an utterance, with the mark of a broken-off sentence if it is one."""
    if not utterance.interrupted:
        return utterance.text
    return f"{utterance.text.rstrip('.,')}{CUT_OFF}"

"""The assistant's replies: at most one is alive, and history keeps what was heard of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.conversation.commands import (
    CancelReply,
    Command,
    NotifyTranscript,
    Prompt,
    ReleaseReply,
    Script,
    StartReply,
)
from gateway.conversation.history import History
from gateway.conversation.playout import PlayoutLedger


@dataclass(slots=True)
class LiveReply:
    """The reply that is being prepared or played.

    Attributes:
        turn: the caller's turn it answers; 0 for none.
        caller_text: that turn's words, told to the far side once the reply is heard; "" when they
            were told already.
    """

    generation: int
    turn: int
    caller_text: str
    scripted: bool
    ledger: PlayoutLedger = field(default_factory=PlayoutLedger)


class Replies:
    """Starts and ends replies, one at a time.

    Args:
        commands: where orders are appended.
        history: where heard words are kept.
    """

    def __init__(self, commands: list[Command], history: History) -> None:
        self._commands = commands
        self._history = history
        self._generations = 0
        self.live: LiveReply | None = None

    def matching(self, generation: int) -> LiveReply | None:
        """The live reply if it is this generation; anything else came too late."""
        if self.live is not None and self.live.generation == generation:
            return self.live
        return None

    def start(
        self,
        source: Prompt | Script,
        language: str,
        *,
        hold: bool,
        answers: tuple[int, int] = (0, 0),
        caller_text: str = "",
    ) -> None:
        """Order a reply to a (turn, revision)."""
        assert self.live is None
        self._generations += 1
        turn, revision = answers
        self.live = LiveReply(self._generations, turn, caller_text, isinstance(source, Script))
        self._commands.append(StartReply(self._generations, turn, revision, language, source, hold))

    def release(self) -> None:
        """Let the live reply be heard."""
        assert self.live is not None
        self._commands.append(ReleaseReply(self.live.generation))

    def cancel(self, now: float) -> None:
        """Stop the live reply, if any, and keep what was heard of it."""
        if self.live is not None:
            self._commands.append(CancelReply(self.live.generation))
            self.close(now, interrupted=True)

    def drop(self) -> None:
        """Forget the live reply, which broke off before anything of it could be heard."""
        self.live = None

    def tell_caller_text(self) -> None:
        """Tell the far side, once, what the caller said that the live reply answers."""
        reply = self.live
        if reply is not None and reply.caller_text:
            self._commands.append(NotifyTranscript("caller", reply.caller_text, reply.turn))
            reply.caller_text = ""

    def close(self, now: float, *, interrupted: bool) -> None:
        """End the live reply: history and the far side get the words that were heard."""
        reply, self.live = self.live, None
        assert reply is not None
        if heard := reply.ledger.heard_text(now):
            self._history.assistant_said(heard)
            self._commands.append(
                NotifyTranscript("assistant", heard, reply.turn, reply.generation, interrupted)
            )

"""A conversation in the stricter forms that some chat templates insist on."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.engines.base import ChatMessage

SILENT_TURN = ChatMessage("user", "…")


def alternating(messages: Sequence[ChatMessage], has_system: bool) -> list[ChatMessage]:
    """The same conversation for templates that insist on user, assistant, user, ...

    A greeting gets a silent user turn before it, neighbours of one role become one message, and
    without a system role the system text opens the first user turn.
    """
    turns = [m for m in messages if m.role != "system"]
    system = [m for m in messages if m.role == "system"]
    if not turns or turns[0].role != "user":
        turns.insert(0, SILENT_TURN)
    merged: list[ChatMessage] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role:
            turn = ChatMessage(turn.role, f"{merged.pop().content}\n{turn.content}")
        merged.append(turn)
    if system and not has_system:
        text = "\n".join(m.content for m in system)
        merged[0] = ChatMessage("user", f"{text}\n\n{merged[0].content}")
        system = []
    return system + merged

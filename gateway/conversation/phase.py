"""Where a conversation stands."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """docs/architecture.md §6 has the table of transitions; only turns.py makes them."""

    LISTENING = auto()
    USER_SPEAKING = auto()
    ENDPOINTING = auto()
    THINKING = auto()
    SPEAKING = auto()
    INTERRUPTED = auto()
    CLOSING = auto()
    ENDED = auto()

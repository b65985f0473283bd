"""What asyncio callers send to the chat model's owner thread, and what they get back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from gateway.engines.base import ChatRequest
from gateway.engines.llama_sampling import Sampler
from gateway.engines.llama_text import TextAssembler
from gateway.errors import ChatError


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a reply."""


Item = str | Done | ChatError


@dataclass(slots=True, eq=False)
class Generation:
    """One reply being made, or, with a ``system_prompt``, one prefix being prefilled.

    Attributes:
        items: what the consumer reads on its loop; never more than max_tokens + 1 items.
        asked_at: when the reply was asked for, in monotonic seconds.
    """

    id: int
    loop: asyncio.AbstractEventLoop
    request: ChatRequest | None = None
    system_prompt: str = ""
    items: asyncio.Queue[Item] = field(default_factory=asyncio.Queue)
    sampler: Sampler | None = None
    text: TextAssembler = field(default_factory=TextAssembler)
    asked_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a generation."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a generation before its next token."""

    generation: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Serve a call's speculation as FINAL."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Free what is kept for a call."""

    call_id: str


Command = Start | Cancel | Promote | Forget

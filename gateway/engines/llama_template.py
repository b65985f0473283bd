"""Chat messages to prompt tokens: the model's own template, fitted into the context."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from gateway.engines.alternating import SILENT_TURN, alternating
from gateway.engines.base import ChatMessage
from gateway.engines.llama_kv import common_prefix
from gateway.errors import ChatError, ModelError

# History is dropped in steps of this many messages, so that the prompt's beginning, and with it
# the cache, stays the same for several turns instead of moving with every one.
_DROP_STEP = 8
_FEWEST_REPLY_TOKENS = 16
# What makes a model answer at once whose template has it think first, by the end of its prompt.
_AT_ONCE = {"<think>": "\n\n</think>\n\n", "<|start|>assistant": "<|channel|>final<|message|>"}


class Vocabulary(Protocol):
    """What a prompt needs of a loaded model (``NativeLlama`` has it)."""

    @property
    def name(self) -> str: ...
    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def adds_bos(self) -> bool: ...

    def chat_template(self) -> str: ...
    def control_texts(self) -> list[str]: ...
    def token_text(self, token: int) -> str: ...
    def tokenize(self, text: str) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits.

    Attributes:
        tokens: prompt token ids.
        shared: leading tokens that every call with the same system message has.
        max_tokens: reply tokens that still fit, at most what was asked for.
    """

    tokens: tuple[int, ...]
    shared: int
    max_tokens: int


class PromptBuilder:
    """Renders and tokenises prompts on the owner thread.

    Args:
        vocabulary: of the loaded model.
        limit: tokens that prompt and reply may have together.
        cells: tokens that all calls have room for together; of those that the system message leaves
            one call's history takes at most half, so that the others find room beside it.

    Raises:
        ModelError: the model has no chat template, or one that cannot hold a conversation.
    """

    def __init__(self, vocabulary: Vocabulary, limit: int, cells: int) -> None:
        template = vocabulary.chat_template()
        if not template:
            raise ModelError(
                f"{vocabulary.name} has no chat template in its metadata; "
                "choose an instruction-tuned (chat) model"
            )
        self._vocabulary = vocabulary
        self._limit = limit
        self._cells = cells
        self._prefixes: dict[str, tuple[int, ...]] = {}
        self._bos = vocabulary.bos if vocabulary.adds_bos else None
        controls = sorted(filter(str.strip, vocabulary.control_texts()), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, controls))) if controls else None
        self._has_system = self._alternates = False
        try:
            self._format = Jinja2ChatFormatter(
                template,
                eos_token=vocabulary.token_text(vocabulary.eos),
                bos_token=vocabulary.token_text(vocabulary.bos),
            )
            self._probe()
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(
                f"the chat template of {vocabulary.name} cannot be used ({error}); "
                "choose another model file"
            ) from error

    def build(self, messages: Sequence[ChatMessage], max_tokens: int) -> Prompt:
        """Tokens of a conversation, without its oldest turns when it is too long.

        Raises:
            ChatError: the system message alone does not fit, or the template refused.
        """
        system = [m for m in messages[:1] if m.role == "system"]
        turns = list(messages[len(system) :])
        max_tokens = max(max_tokens, 1)
        room = self._limit - min(max_tokens, _FEWEST_REPLY_TOKENS)
        prefix = self._prefix(system[0].content) if system else ()
        half = (self._cells - len(prefix)) // 2
        # A long reply takes no more than half of the call's share: the rest is for what was said.
        share = min(self._limit - max_tokens, len(prefix) + half - min(max_tokens, half // 2))
        # max_tokens may shrink only when dropping turns does not help any more.
        tokens = self._newest(system, turns, share) or self._last(system, turns, room)
        return Prompt(
            tokens=tuple(tokens),
            shared=min(common_prefix(tokens, list(prefix)), len(tokens) - 1),
            max_tokens=min(max_tokens, self._limit - len(tokens)),
        )

    def system_prefix(self, system_prompt: str) -> tuple[int, ...]:
        """Tokens that every prompt with this system message begins with.

        Raises:
            ModelError: it leaves no room for a conversation.
        """
        self.check_system_prompt(system_prompt)
        return self._prefix(system_prompt)

    def check_system_prompt(self, system_prompt: str) -> None:
        """Make sure that a system message leaves room for a conversation; from any thread.

        Raises:
            ModelError: it does not.
        """
        system = ChatMessage("system", system_prompt)
        length = len(self._tokens([system, SILENT_TURN]))
        if length > self._limit // 2:
            raise ModelError(
                f"the system prompt has {length} tokens, more than half of the {self._limit} "
                "that one call can use; shorten the profile or choose a longer context"
            )

    def _newest(
        self, system: list[ChatMessage], turns: list[ChatMessage], share: int
    ) -> list[int] | None:
        """The newest turns that fit the share; None if not even the last ones do.

        Looked for from the end, as a call may be many times as long as what fits.
        """
        drops = range(0, max(1, len(turns)), _DROP_STEP)
        found: dict[int, list[int]] = {}

        def fits(at: int) -> bool:
            found[at] = self._tokens(system + turns[drops[at] :])
            return len(found[at]) <= share

        at, step = len(drops) - 1, 1
        if not fits(at):
            return None
        while at > 0 and fits(max(0, at - step)):
            at, step = max(0, at - step), 2 * step
        fewest = bisect.bisect_left(
            range(len(drops)), True, min(at, max(0, at - step) + 1), at, key=fits
        )
        return found[fewest]

    def _last(self, system: list[ChatMessage], turns: list[ChatMessage], room: int) -> list[int]:
        """As much of the end of the last turn as there is room for."""
        last = turns[-1] if turns else SILENT_TURN
        text = last.content
        while True:
            tokens = self._tokens([*system, ChatMessage(last.role, text)])
            if len(tokens) <= room:
                return tokens
            if len(text) < 2:
                break
            # The end of what was said last matters most.
            text = text[len(text) // 2 :]
        raise ChatError(
            f"the system message needs {len(tokens)} tokens of a context of {self._limit}"
        )

    def _prefix(self, system_prompt: str) -> tuple[int, ...]:
        system = ChatMessage("system", system_prompt)
        # Known by the rendered text: some templates tell the date in it.
        text = self._text([system, ChatMessage("user", "0")])
        prefix = self._prefixes.get(text)
        if prefix is None:
            a = self._tokens([system, ChatMessage("user", "0")])
            # A word: a template may put a blank in front, which a digit leaves a token of its own.
            b = self._tokens([system, ChatMessage("user", "a")])
            prefix = tuple(a[: common_prefix(a, b)])
            while len(self._prefixes) >= 64:
                del self._prefixes[next(iter(self._prefixes))]
            self._prefixes[text] = prefix
        return prefix

    def _tokens(self, messages: Sequence[ChatMessage]) -> list[int]:
        tokens = self._vocabulary.tokenize(self._text(messages))
        if self._bos is not None and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tokens

    def _text(self, messages: Sequence[ChatMessage]) -> str:
        try:
            return self._render(messages)
        except (TemplateError, ValueError, TypeError) as error:
            raise ChatError(f"the chat template refused the conversation: {error}") from error

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        clean = [m if m.role == "system" else self._uncontrolled(m) for m in messages]
        if self._alternates:
            clean = alternating(clean, self._has_system)
        plain: list[Any] = [{"role": m.role, "content": m.content} for m in clean]
        response = self._format(
            messages=plain,
            # Nobody waits on the phone for what a model thinks.
            enable_thinking=False,
        )
        prompt = str(response.prompt)
        for end, more in _AT_ONCE.items():
            if prompt.rstrip().endswith(end):
                prompt = prompt.rstrip() + more
        return prompt

    def _uncontrolled(self, message: ChatMessage) -> ChatMessage:
        """The message without control tokens: nobody but the template speaks as the system."""
        text = message.content
        # The blank keeps what stands around one from joining to another; the loop is for those
        # with a blank of their own.
        while self._controls and self._controls.search(text):
            text = self._controls.sub(" ", text)
        return ChatMessage(message.role, text)

    def _probe(self) -> None:
        """Find the form of conversation that the template can hold, the freest first."""
        user, assistant = ChatMessage("user", "probe-user"), ChatMessage("assistant", "a")
        system = ChatMessage("system", "probe-system")
        greeted = [system, assistant, user, user, assistant, user]
        for self._alternates, self._has_system in ((False, True), (True, True), (True, False)):
            try:
                begin, between, *_, end = self._render(greeted).split(user.content)
                if system.content not in begin:
                    # Some put it into the last turn, and all of it would be read at every turn.
                    raise ValueError("it does not begin with the system text")
                if not self._alternates and between.startswith(end):
                    # As Phi-4's first: nothing would tell that a greeting is the assistant's.
                    raise ValueError("it begins a reply behind every turn of the user")
                return
            except (TemplateError, ValueError, TypeError) as error:
                refusal = error
        raise refusal

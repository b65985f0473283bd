"""Prompts in the forms that different chat templates ask for, with one token per character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from gateway.engines.base import ChatMessage
from gateway.engines.llama_template import PromptBuilder
from gateway.errors import ChatError, ModelError

OPEN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
ALTERNATING = (
    "{% if messages[0].role == 'system' %}[{{ messages[0].content }}]"
    "{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}\n"
    "{% endfor %}<assistant>"
)
NO_SYSTEM = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}\n"
    "{% endfor %}<assistant>"
)
REPLY_AFTER_USER = (
    "{% for m in messages %}{% if m.role == 'system' %}<system>{{ m.content }}\n"
    "{% elif m.role == 'user' %}<user>{{ m.content }}\n<assistant>"
    "{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
)
SYSTEM_LAST = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m.role }}>"
    "{% if loop.last and system is defined %}[{{ system }}]{% endif %}{{ m.content }}\n"
    "{% endfor %}<assistant>"
)
CONTROLS = ["<|end|>", "<|e", "< |e", " ", ""]


@dataclass
class Characters:
    """A vocabulary of characters; token 2 (STX) is the beginning of sequence."""

    template: str
    adds_bos: bool = False
    name: str = "model.gguf"
    bos: int = 2
    eos: int = 3

    def chat_template(self) -> str:
        return self.template

    def control_texts(self) -> list[str]:
        return CONTROLS

    def token_text(self, token: int) -> str:
        return chr(token)

    def tokenize(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def builder(
    template: str = OPEN, limit: int = 300, adds_bos: bool = False, cells: int = 10_000
) -> PromptBuilder:
    return PromptBuilder(Characters(template, adds_bos), limit, cells)


def text(tokens: tuple[int, ...]) -> str:
    return "".join(map(chr, tokens))


SYSTEM = ChatMessage("system", "Be brief.")
GREETED = (SYSTEM, ChatMessage("assistant", "Hello!"), ChatMessage("user", "Hi"))


def test_conversation_is_rendered_as_it_is_where_the_template_allows() -> None:
    prompt = builder().build(GREETED, 20)
    assert text(prompt.tokens) == "<system>Be brief.\n<assistant>Hello!\n<user>Hi\n<assistant>"
    assert text(prompt.tokens[: prompt.shared]) == "<system>Be brief.\n<"
    assert prompt.max_tokens == 20


def test_conversation_that_the_template_refuses_is_a_chat_error() -> None:
    refusing = "{% if messages[-1].content == 'boom' %}{{ raise_exception('no') }}{% endif %}"
    with pytest.raises(ChatError, match="the chat template refused the conversation: no"):
        builder(refusing + OPEN).build((SYSTEM, ChatMessage("user", "boom")), 20)


def test_greeting_gets_a_silent_user_turn_where_roles_must_alternate() -> None:
    messages = (*GREETED, ChatMessage("user", "there"))
    prompt = builder(ALTERNATING).build(messages, 20)
    assert (
        text(prompt.tokens) == "[Be brief.]<user>…\n<assistant>Hello!\n<user>Hi\nthere\n<assistant>"
    )


def test_greeting_gets_a_silent_user_turn_where_only_the_user_opens_a_reply() -> None:
    prompt = builder(REPLY_AFTER_USER).build((*GREETED, ChatMessage("user", "there")), 20)
    assert text(prompt.tokens) == (
        "<system>Be brief.\n<user>…\n<assistant>Hello!\n<user>Hi\nthere\n<assistant>"
    )


def test_system_text_opens_the_first_user_turn_where_there_is_no_system_role() -> None:
    prompt = builder(NO_SYSTEM).build((SYSTEM, ChatMessage("user", "Hi")), 20)
    assert text(prompt.tokens) == "<user>Be brief.\n\nHi\n<assistant>"
    assert text(prompt.tokens[: prompt.shared]) == "<user>Be brief.\n\n"


def test_system_text_stays_in_front_where_the_template_would_put_it_into_the_last_turn() -> None:
    prompt = builder(SYSTEM_LAST).build(GREETED, 20)
    assert text(prompt.tokens) == "<user>Be brief.\n\n…\n<assistant>Hello!\n<user>Hi\n<assistant>"


@pytest.mark.parametrize(
    ("end", "closed"),
    [
        ("<think>\n", "<think>\n\n</think>\n\n"),  # DeepSeek R1, Qwen3 Thinking
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),  # Qwen3
        ("<|start|>assistant", "<|start|>assistant<|channel|>final<|message|>"),  # gpt-oss
        ("<assistant>\n", "<assistant>\n"),
    ],
)
def test_a_model_whose_template_has_it_think_answers_at_once(end: str, closed: str) -> None:
    template = OPEN.replace("<assistant>", "") + "{{ " + repr(end) + " }}"
    assert text(builder(template).build(GREETED, 20).tokens).endswith(f"Hi\n{closed}")


def test_beginning_of_sequence_is_added_once() -> None:
    assert builder(adds_bos=True).build(GREETED, 20).tokens[:2] == (2, ord("<"))
    doubled = "{{ bos_token }}" + OPEN
    assert builder(doubled, adds_bos=True).build(GREETED, 20).tokens[:2] == (2, ord("<"))


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("said", ["a<|end|>b", "a<|e<|end|>nd|>b", "a<|<|e|end|>b", "a<<|e|e<|eb"])
def test_nobody_but_the_template_writes_control_tokens(
    role: Literal["user", "assistant"], said: str
) -> None:
    prompt = text(builder().build((SYSTEM, ChatMessage(role, said)), 20).tokens)
    assert prompt.startswith(f"<system>Be brief.\n<{role}>a")
    assert prompt.endswith("b\n<assistant>")
    assert not [control for control in CONTROLS if control.strip() and control in prompt]


def conversation(turns: int) -> tuple[ChatMessage, ...]:
    roles = ("user", "assistant")
    said = [ChatMessage(roles[i % 2], f"turn {i:02}") for i in range(turns)]  # type: ignore[arg-type]
    return (SYSTEM, *said, ChatMessage("user", "last words"))


def test_oldest_turns_are_dropped_in_steps_that_keep_the_beginning_stable() -> None:
    build = builder(limit=300).build
    start = "<system>Be brief.\n<user>turn 08"
    for turns in range(14, 22, 2):
        prompt = text(build(conversation(turns), 40).tokens)
        assert prompt.startswith(start)
        assert prompt.endswith("<user>last words\n<assistant>")
        assert len(prompt) <= 300 - 40


def test_the_history_of_one_call_takes_half_of_what_the_system_message_leaves_of_the_cache() -> (
    None
):
    prompts = builder(limit=300, cells=300)
    prompt = prompts.build(conversation(20), 40)
    own = len(prompt.tokens) - prompt.shared + prompt.max_tokens
    assert (300 - prompt.shared) // 2 - 80 < own <= (300 - prompt.shared) // 2
    assert text(prompt.tokens).endswith("<user>last words\n<assistant>")


def test_last_words_that_are_longer_than_half_of_the_cache_stay_whole() -> None:
    messages = (SYSTEM, ChatMessage("user", "Hi"), ChatMessage("user", "x" * 170))
    prompt = text(builder(limit=300, cells=300).build(messages, 40).tokens)
    assert prompt == f"<system>Be brief.\n<user>{'x' * 170}\n<assistant>"


def test_a_long_reply_takes_no_more_than_half_of_what_one_call_may_have() -> None:
    prompts = builder(limit=600, cells=600)
    prompt = text(prompts.build(conversation(4), 300).tokens)
    assert "turn 00" in prompt and prompt.endswith("<user>last words\n<assistant>")


def test_a_prompt_costs_no_more_for_what_was_said_long_ago() -> None:
    class Counted(Characters):
        read = 0

        def tokenize(self, text: str) -> list[int]:
            self.read += len(text)
            return super().tokenize(text)

    def cost(turns: int) -> int:
        vocabulary = Counted(OPEN)
        prompts = PromptBuilder(vocabulary, 300, 10_000)
        prompts.build(conversation(turns), 40)
        return vocabulary.read

    assert cost(2000) < 1.2 * cost(40), "longer numbers of the turns apart"


@pytest.mark.parametrize("turns", range(41))
def test_as_many_turns_are_kept_as_fit_in_steps(turns: int) -> None:
    prompt = text(builder(limit=300).build(conversation(turns), 40).tokens)
    all_of_it = text(builder(limit=9000).build(conversation(turns), 40).tokens)
    kept = prompt.removeprefix("<system>Be brief.\n")
    assert all_of_it.endswith(kept) and len(prompt) <= 300 - 40
    dropped = all_of_it.removeprefix("<system>Be brief.\n").removesuffix(kept).count("<")
    assert dropped % 8 == 0
    before = sum(len(part) + 1 for part in all_of_it.split("<")[2 + dropped - 8 : 2 + dropped])
    assert dropped == 0 or len(prompt) + before > 300 - 40, "no step less would have fitted"


def test_last_words_stay_whole_where_a_shorter_reply_has_room_beside_them() -> None:
    messages = (SYSTEM, ChatMessage("user", "x" * 200))
    prompt = builder(limit=300).build(messages, 80)
    assert "x" * 200 in text(prompt.tokens)
    assert 16 <= prompt.max_tokens < 80


def test_longer_last_words_keep_their_end_and_room_for_a_reply() -> None:
    messages = (SYSTEM, ChatMessage("user", "x" * 400 + " the end"))
    prompt = builder(limit=300).build(messages, 40)
    assert text(prompt.tokens).endswith(" the end\n<assistant>")
    assert 16 <= prompt.max_tokens <= 40


def test_reply_shrinks_when_the_system_message_takes_the_room() -> None:
    messages = (ChatMessage("system", "s" * 230), ChatMessage("user", "Hi"))
    prompt = builder(limit=300).build(messages, 80)
    assert 16 <= prompt.max_tokens < 80
    assert len(prompt.tokens) + prompt.max_tokens <= 300


def test_system_message_larger_than_the_context_is_refused() -> None:
    prompts = builder(limit=300)
    with pytest.raises(ChatError, match="system message needs 3.. tokens of a context of 300"):
        prompts.build((ChatMessage("system", "s" * 300), ChatMessage("user", "Hi")), 20)
    with pytest.raises(ModelError, match="more than half of the 300"):
        prompts.check_system_prompt("s" * 300)
    prompts.check_system_prompt("s" * 30)


def test_the_shared_prefix_follows_the_date_that_a_template_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = iter(["1 May", "2 May"])
    today = next(days)
    monkeypatch.setattr(Jinja2ChatFormatter, "strftime_now", staticmethod(lambda _: today))
    prompts = builder("[{{ strftime_now('%d %b') }}]" + OPEN)
    first = prompts.build(GREETED, 20)
    today = next(days)
    second = prompts.build(GREETED, 20)
    for prompt, day in ((first, "1 May"), (second, "2 May")):
        assert text(prompt.tokens[: prompt.shared]) == f"[{day}]<system>Be brief.\n<"


def test_prompt_without_system_message_shares_nothing() -> None:
    assert builder().build((ChatMessage("user", "Hi"),), 20).shared == 0


def test_empty_conversation_is_still_a_prompt() -> None:
    assert text(builder().build((SYSTEM,), 20).tokens) == "<system>Be brief.\n<assistant>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for %}",
        "{{ raise_exception('no') }}",
        "{{ nope.x.y }}",
        "<user>{{ messages[-1].content }}<assistant>",
    ],
)
def test_template_that_cannot_be_used_is_refused_at_load(template: str) -> None:
    with pytest.raises(ModelError, match="chat template of model.gguf cannot be used"):
        builder(template)


def test_missing_template_is_refused_at_load() -> None:
    with pytest.raises(ModelError, match="no chat template"):
        builder("")

from __future__ import annotations

import pytest

from gateway.receptionist.tool_calls import ToolCallFilter

REPLY = 'One moment. <tool_call>{"name": "end_call", "arguments": {}}</tool_call> Bye.'


def speak(calls: ToolCallFilter, reply: str, step: int) -> str:
    """What is spoken of a reply that comes in pieces of ``step`` characters."""
    spoken = [calls.push(reply[i : i + step]) for i in range(0, len(reply), step)]
    return "".join(spoken) + calls.flush()


@pytest.mark.parametrize("step", [1, 3, 7, 100])
def test_tool_calls_are_taken_out_of_speech_however_the_text_arrives(step: int) -> None:
    calls = ToolCallFilter()
    spoken = "".join(calls.push(REPLY[i : i + step]) for i in range(0, len(REPLY), step))
    assert spoken + calls.flush() == "One moment.  Bye."
    assert calls.calls == ['{"name": "end_call", "arguments": {}}']


def test_text_that_only_begins_like_a_tag_is_spoken() -> None:
    calls = ToolCallFilter()
    assert calls.push("a < b <tool") == "a < b "
    assert calls.push("s> c") + calls.flush() == "<tools> c"


def test_unfinished_call_is_neither_spoken_nor_counted() -> None:
    calls = ToolCallFilter()
    assert calls.push('Yes.<tool_call>{"name": "en') + calls.flush() == "Yes."
    assert calls.calls == []


@pytest.mark.parametrize("step", [1, 3, 100])
def test_thoughts_are_not_spoken(step: int) -> None:
    reply = "<think>\nThey ask <b>when</b>.\n</think>\n\nAt nine. <think>Is that all"
    calls = ToolCallFilter()
    assert speak(calls, reply, step) == "\n\nAt nine. "
    assert calls.thought and not calls.calls


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    "unspoken",
    [
        '```json\n{"name": "end_call", "arguments": {}}\n```',
        '<function=end_call>{"at": "9"}</function>',
    ],
)
def test_code_and_calls_in_another_form_are_taken_out_of_speech(unspoken: str, step: int) -> None:
    reply, calls = f"One moment. {unspoken} Bye.", ToolCallFilter()
    assert speak(calls, reply, step) == "One moment.  Bye."
    assert not calls.ended


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    "end",
    [
        '<|python_tag|>{"name": "end_call", "parameters": {}}',
        '[TOOL_CALLS] [{"name": "end_call", "arguments": {}}]',
        '{"name": "end_call", "parameters": {}}',
        "<|im_end|>\n<|im_start|>user\nHow much is it?",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>",
        "<end_of_turn>\n<start_of_turn>user\nHow much?",
        "</s>[INST] How much? [/INST]",
    ],
)
def test_nothing_is_spoken_behind_the_end_of_a_reply(end: str, step: int) -> None:
    reply, calls = f"We open at nine.{end}", ToolCallFilter()
    spoken = speak(calls, reply, step)
    assert calls.ended
    assert spoken == "We open at nine."


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    "header",
    [
        "<|start_header_id|>assistant<|end_header_id|>",
        "<|im_start|>assistant\n",
        "<start_of_turn>model\n",
    ],
)
def test_the_role_that_a_template_writes_before_a_reply_is_not_spoken(
    header: str, step: int
) -> None:
    reply, calls = f"{header}We open at nine.", ToolCallFilter()
    assert speak(calls, reply, step) == "We open at nine."


def test_signs_that_only_begin_like_a_tag_are_spoken() -> None:
    calls = ToolCallFilter()
    assert calls.push("Say `nine`, [T] or {5} <|") + calls.flush() == "Say `nine`, [T] or {5} <|"
    assert not calls.ended

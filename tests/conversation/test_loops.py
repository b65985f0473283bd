from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation.loops import LoopWatch


def kept(text: str, step: int = 1) -> str:
    """What is left of a text that comes in steps, when its first loop is cut off."""
    watch = LoopWatch()
    for end in range(step, len(text) + step, step):
        if length := watch.push(text[end - step : end]):
            return text[: min(end, len(text)) - length]
    return text


@pytest.mark.parametrize("step", [1, 3, 7])
@pytest.mark.parametrize(
    ("before", "unit"),
    [
        ("Booked for ", "j"),
        ("باسم ", "ي "),
        ("You are booked, ", "Lomo"),
        ("We are open ", "on Monday and "),
        ("Of course. ", "What is your name? May I have your telephone number, please? "),
    ],
)
def test_a_reply_that_goes_round_in_a_circle_is_cut_before_it(
    before: str, unit: str, step: int
) -> None:
    found = kept(before + unit * 60, step)
    assert found.startswith(before.rstrip())
    assert len(found) < len(before) + len(unit), "at most a part of the first round stays"


@pytest.mark.parametrize(
    "text",
    [
        "My number is five five five five five five five five five five five.",
        "Call double five double five double five double five double five, please.",
        "It is 00000000000, or 0 0 0 0 0 0 0 0 0 0 0.",
        "No, no, no, no, no! Bye bye bye bye.",
        "Cleaning costs ten dollars, filling costs ten dollars, whitening costs ten dollars.",
        "нет нет нет нет нет, это не так",
        "-" * 80 + " " + ". " * 80,
        "",
    ],
)
def test_what_people_say_several_times_is_no_loop(text: str) -> None:
    assert kept(text) == text


@given(st.text(alphabet="ab ", max_size=30), st.integers(1, 9))
def test_a_text_is_cut_only_where_a_unit_comes_six_times_or_more(text: str, step: int) -> None:
    whole = text * 3
    found = kept(whole, step)
    if found != whole:
        loop = whole[len(found) :]
        assert any(loop[size:].startswith(loop[: 5 * size]) for size in range(1, len(loop)))

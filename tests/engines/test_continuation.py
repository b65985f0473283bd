"""A reply that a second model finishes reads as if one had written it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.continuation import Continuation, WholeWords


def joined(said: str, continuation: str, size: int = 3) -> str:
    seam = Continuation(said)
    pieces = [continuation[i : i + size] for i in range(0, len(continuation), size)]
    return said + "".join(seam.push(piece) for piece in pieces) + seam.flush()


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("said", "continuation"),
    [
        ("We are open ", "from nine to six."),
        ("We are open ", " from nine to six."),
        ("We are open", "from nine to six."),
        ("We are open ", "We are open from nine to six."),
        ("We are open ", "we are open, from nine to six."),
        ("We are open ", "are open from nine to six."),
        ("We are open ", "open from nine to six."),
        ("", "We are open from nine to six."),
    ],
)
def test_nothing_is_said_twice_or_left_out(said: str, continuation: str, size: int) -> None:
    assert joined(said, continuation, size) == "We are open from nine to six."


def test_a_tool_call_is_passed_on_whole_or_not_at_all() -> None:
    call = '<tool_call>\n{"name": "book", "arguments": {}}\n</tool_call>'
    words = WholeWords()
    passed = "".join(words.push(char) for char in f"One moment. {call[:30]}")
    assert passed == "One moment. "
    passed += "".join(words.push(char) for char in f"{call[30:]} Done. ")
    assert passed == f"One moment. {call} Done. "


def test_other_scripts_are_compared_alike() -> None:
    assert joined("Мы открыты ", "Мы открыты с девяти.") == "Мы открыты с девяти."
    assert joined("نحن نفتح ", "نحن نفتح من التاسعة.") == "نحن نفتح من التاسعة."


def test_text_is_held_back_only_while_it_may_turn_out_to_be_a_repetition() -> None:
    seam = Continuation("We are open today ")
    assert [seam.push(word) for word in ("are ", "open ", "from ", "ni", "ne ")] == [
        "",
        "",
        "are open from ",
        "ni",
        "ne ",
    ]


def test_a_short_word_may_follow_itself() -> None:
    assert joined("That is what it is to ", "to be open.") == "That is what it is to to be open."


def test_another_answer_is_passed_on_whole() -> None:
    assert joined("We are open ", "We close at six.") == "We are open We close at six."


def test_a_repetition_alone_adds_nothing() -> None:
    assert joined("We are open. ", "We are open.") == "We are open. "
    assert joined("We are open. ", "") == "We are open. "


def test_words_are_passed_on_at_their_space() -> None:
    words = WholeWords()
    assert [words.push(delta) for delta in ("Hel", "lo,", " we", " are op")] == [
        "",
        "",
        "Hello, ",
        "we are ",
    ]
    assert words.flush() == "op"


@given(st.text(), st.integers(1, 5))
def test_whole_words_lose_nothing(text: str, size: int) -> None:
    words = WholeWords()
    pieces = [words.push(text[i : i + size]) for i in range(0, len(text), size)]
    assert "".join(pieces) + words.flush() == text


@given(st.text(), st.text(), st.integers(1, 5))
def test_a_continuation_ends_with_its_own_end_or_adds_nothing(
    said: str, text: str, size: int
) -> None:
    result = joined(said, text, size)
    assert result.startswith(said)
    new = result[len(said) :]
    assert text.endswith(new.lstrip()) or new == text

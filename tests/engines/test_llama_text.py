"""Token bytes to text, without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.llama_text import TextAssembler


@pytest.mark.parametrize("text", ["مرحبا", "Здравствуйте", "naïve 👋🏽"])
def test_characters_split_over_tokens_are_held_until_whole(text: str) -> None:
    assembler = TextAssembler()
    pieces = [assembler.push(bytes([byte])) for byte in text.encode()]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


def test_character_cut_by_the_last_token_is_dropped() -> None:
    assembler = TextAssembler()
    assert assembler.push("да".encode()[:3]) == "д"
    assert assembler.finish() == ""


def test_stop_string_over_three_tokens_is_never_shown() -> None:
    assembler = TextAssembler(("<end>",))
    assert [assembler.push(piece) for piece in (b"Hi <", b"en", b"d> more")] == ["Hi ", "", ""]
    assert assembler.stopped
    assert assembler.push(b"x") == assembler.finish() == ""


def test_false_start_of_a_stop_string_is_shown_in_the_end() -> None:
    assembler = TextAssembler(("<end>",))
    assert assembler.push(b"a <e") == "a "
    assert assembler.push(b"m") == "<em"
    assert assembler.push(b" <") == " "
    assert assembler.finish() == "<"


def test_earliest_stop_string_wins() -> None:
    assembler = TextAssembler(("three", "two"))
    assert assembler.push(b"one two three") == "one "


def test_empty_stop_string_is_ignored() -> None:
    assembler = TextAssembler(("",))
    assert assembler.push(b"text") == "text"


@given(
    text=st.text(st.sampled_from("abя"), max_size=20),
    stops=st.lists(st.text(st.sampled_from("abя"), min_size=1, max_size=3), max_size=3),
    size=st.integers(1, 5),
)
def test_any_split_gives_the_text_before_the_first_stop(
    text: str, stops: list[str], size: int
) -> None:
    data = text.encode()
    assembler = TextAssembler(tuple(stops))
    shown = "".join(assembler.push(data[i : i + size]) for i in range(0, len(data), size))
    shown += assembler.finish()
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    assert assembler.stopped == (shown != text)

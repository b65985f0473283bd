from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation.chunker import Chunker


def pieces(text: str, step: int = 1, **options: int) -> list[str]:
    chunker = Chunker(**options)
    found: list[str] = []
    for start in range(0, len(text), step):
        found += chunker.push(text[start : start + step])
    return found + chunker.flush()


def test_first_piece_ends_at_a_clause_and_later_ones_at_sentences() -> None:
    assert pieces("We are open today, from nine to six. On Friday, we close early. Bye.") == [
        "We are open today,",
        "from nine to six.",
        "On Friday, we close early.",
        "Bye.",
    ]


def test_very_short_clause_is_not_spoken_alone() -> None:
    assert pieces("Yes, we are open on Monday.")[0] == "Yes, we are open on Monday."


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Dr. Adams is here. Please wait.", "Dr. Adams is here."),
        ("It costs 3.50 today. Anything else?", "It costs 3.50 today."),
        ("كم السعر؟ سعر الفحص مئة.", "كم السعر؟"),
        ("Наш адрес ул. Садовая. Ждём вас!", "Наш адрес ул. Садовая."),
        ("Really?! Of course.", "Really?!"),
        ("We open at 8. The doctor is in.", "We open at 8."),
        ("Ask for J. Adams here. Please wait.", "Ask for J. Adams here."),
    ],
)
def test_sentence_ends_are_found_in_every_language(text: str, first: str) -> None:
    assert pieces(text)[0] == first


def test_sentence_is_given_as_soon_as_it_is_complete() -> None:
    chunker = Chunker()
    assert chunker.push("Hello. ") == ["Hello."]
    assert chunker.push("How can I") == []
    assert chunker.flush() == ["How can I"]


def test_endless_sentence_is_cut_at_a_space() -> None:
    found = pieces("word " * 100, max_chars=50)
    assert all(len(piece) <= 50 for piece in found)
    assert " ".join(found).split() == ["word"] * 100


@given(st.text(alphabet="ab .,?!؟،\n", max_size=300), st.integers(1, 7))
def test_no_word_is_lost_or_changed_however_the_text_arrives(text: str, step: int) -> None:
    assert "".join(" ".join(pieces(text, step)).split()) == "".join(text.split())

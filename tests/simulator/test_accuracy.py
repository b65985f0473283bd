"""Word error rate."""

from __future__ import annotations

import pytest

from gateway.simulator.accuracy import count_word_errors, word_edits, words_of


def test_case_punctuation_and_yo_do_not_count() -> None:
    assert words_of("Всё верно? Да!") == words_of("все верно да")


def test_arabic_words_are_words() -> None:
    assert words_of("شكرا، مع السلامة.") == ["شكرا", "مع", "السلامة"]


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("مرحبًا، شُكْرًا", "مرحبا شكرا"),
        ("شكـــرا", "شكرا"),
        ("за\u0301мок", "замок"),
        ("мои\u0306", "мой"),
        ("I don’t know", "i don't know"),
    ],
    ids=["vowels", "stretched", "stress", "decomposed", "apostrophe"],
)
def test_signs_that_are_no_letters_make_no_other_words(said: str, understood: str) -> None:
    assert words_of(said) == words_of(understood)


@pytest.mark.parametrize(
    ("said", "understood", "edits"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a b c", "a x b c", 1),
        ("a b c", "a x c", 1),
        ("a b c", "", 3),
        ("", "a", 1),
    ],
)
def test_each_missing_added_or_wrong_word_is_one_edit(
    said: str, understood: str, edits: int
) -> None:
    assert word_edits(said.split(), understood.split()) == edits


def test_the_rate_is_over_all_words_of_all_sentences() -> None:
    errors = count_word_errors([("one two three", "one two three"), ("four", "five")])
    assert (errors.edits, errors.words, errors.rate) == (1, 4, 0.25)


def test_words_heard_in_silence_are_errors() -> None:
    assert count_word_errors([("", "ghost")]).rate == 1.0
    assert count_word_errors([]).rate == 0.0

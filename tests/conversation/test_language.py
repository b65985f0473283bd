from __future__ import annotations

from gateway.conversation.language import LanguageTracker


def test_first_words_decide_the_language_even_if_few() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.9, 1)
    assert language.current == "ru"


def test_doubtful_first_words_keep_the_default() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.5, 3)
    assert language.current == "en"


def test_one_word_does_not_switch_a_call() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.99, 6)
    language.heard("en", 0.99, 1)
    assert language.current == "ru"


def test_sentence_in_another_language_switches_the_call() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.99, 6)
    language.heard("en", 0.99, 5)
    assert language.current == "en"


def test_several_single_words_in_a_row_switch_too() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.99, 6)
    for _ in range(6):
        language.heard("ar", 0.99, 2)
    assert language.current == "ar"


def test_pinned_language_is_kept_until_it_is_released() -> None:
    language = LanguageTracker("en")
    language.pin("ar")
    language.heard("ru", 0.99, 6)
    assert language.current == "ar"
    language.pin(None)
    language.heard("ru", 0.99, 6)
    assert language.current == "ru"


def test_one_word_in_the_former_language_does_not_switch_back() -> None:
    language = LanguageTracker("ru")
    language.heard("en", 0.98, 6)
    language.heard("ar", 0.98, 8)
    assert language.current == "ar"
    language.heard("en", 0.98, 1)
    assert language.current == "ar"


def test_turn_that_is_recognised_again_counts_once() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.98, 6, turn=1)
    language.heard("en", 0.98, 2, turn=2)
    language.heard("en", 0.98, 2, turn=2)
    assert language.current == "ru"
    language.heard("en", 0.98, 2, turn=3)
    assert language.current == "en", "another turn counts"


def test_turn_counts_by_the_most_words_that_were_heard_of_it() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.98, 6, turn=1)
    language.heard("ar", 0.98, 3, turn=2)
    language.heard("ru", 0.98, 7, turn=2)
    assert language.current == "ru", "its beginning was misheard"
    language.heard("ar", 0.98, 1, turn=2)
    assert language.current == "ru"


def test_language_that_was_pinned_in_mid_turn_is_not_undone_by_its_revision() -> None:
    language = LanguageTracker("en")
    language.heard("ru", 0.55, 2, turn=1)
    language.pin("ar")
    language.pin(None)
    language.heard("ru", 0.55, 3, turn=1)
    assert language.current == "ar"

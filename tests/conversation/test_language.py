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

from __future__ import annotations

import pytest

from gateway.conversation.interruption import interrupts

REPLY = "We are open Monday to Friday from nine in the morning to six in the evening."
QUESTION = "Teeth cleaning costs one hundred and fifty dirhams. Would you like to book it?"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "", False),
        ("en", "...", False),
        ("en", "Mm-hm.", False),
        ("en", "Yeah, okay.", False),
        ("en", "Yef.", False),
        ("en", "I seet.", False),
        ("en", "Stop.", True),
        ("en", "Okay, wait.", True),
        ("en", "What about Sunday?", True),
        ("en", "Yes but how much is it", True),
        ("en", "Monday to Friday from nine.", False),
        ("en", "Open Monday", False),
        ("en", "On Monday and Sunday please", True),
        ("ru", "Ага.", False),
        ("ru", "Да, да, понятно.", False),
        ("ru", "Стоп.", True),
        ("ru", "Подождите, пожалуйста.", True),
        ("ru", "А в воскресенье?", True),
        ("ar", "نعم.", False),
        ("ar", "طيب", False),
        ("ar", "لحظة", True),
        ("ar", "وماذا عن يوم الأحد؟", True),
    ],
)
def test_words_over_a_statement(language: str, text: str, expected: bool) -> None:
    assert interrupts(text, language, REPLY) is expected


@pytest.mark.parametrize("text", ["Yes.", "Okay.", "Mm-hm."])
def test_agreement_over_a_question_is_its_answer(text: str) -> None:
    assert interrupts(text, "en", QUESTION)


def test_single_word_of_the_reply_is_not_taken_for_its_echo() -> None:
    assert interrupts("Friday?", "en", REPLY)


def test_short_sound_with_doubtful_words_is_a_grunt_unless_it_says_stop() -> None:
    assert not interrupts("Emma Kitem.", "en", REPLY, grunt=True)
    assert interrupts("Emma Kitem.", "en", REPLY)
    assert interrupts("Waite.", "en", REPLY, grunt=True)

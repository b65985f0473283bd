from __future__ import annotations

import pytest

from gateway.conversation.interruption import Verdict, judge

REPLY = "We are open Monday to Friday from nine in the morning to six in the evening."
SLOTS = "I have Monday at ten or Tuesday at ten."
QUESTION = "Teeth cleaning costs one hundred and fifty dirhams. Would you like to book it?"


def interrupts(
    text: str, language: str, speaking: str, before: str, since: str, **how: bool
) -> bool:
    return judge(text, language, speaking, before, since, **how) is Verdict.INTERRUPTS


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("...", Verdict.NOISE),
        ("nine in the morning", Verdict.OWN_WORDS),
        ("in the", Verdict.OWN_WORDS),
        ("Mm-hm.", Verdict.BACKCHANNEL),
        ("Wait, nine in the morning?", Verdict.INTERRUPTS),
        ("And on Sunday?", Verdict.INTERRUPTS),
    ],
)
def test_words_that_do_not_interrupt_are_told_from_noise_and_from_an_echo(
    text: str, verdict: Verdict
) -> None:
    assert judge(text, "en", REPLY, "", REPLY) is verdict


def test_short_sound_with_doubtful_words_is_still_a_sign_of_a_caller() -> None:
    verdict = judge("Emma Kitem.", "en", REPLY, "", REPLY, short=True, in_doubt=True)
    assert verdict is Verdict.BACKCHANNEL


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "", False),
        ("en", "...", False),
        ("en", "Mm-hm.", False),
        ("en", "Yeah, okay.", False),
        ("en", "Stop.", True),
        ("en", "Okay, wait.", True),
        ("en", "What about Sunday?", True),
        ("en", "Yes but how much is it", True),
        ("en", "Monday to Friday from nine.", False),
        ("en", "Open Monday", False),
        ("en", "On Monday and Sunday please", True),
        ("en", "Monday at nine in the evening", True),
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
    assert interrupts(text, language, REPLY, "", REPLY) is expected


@pytest.mark.parametrize("text", ["Yef.", "I seet."])
def test_nearly_a_back_channel_counts_as_one_only_if_the_words_are_in_doubt(text: str) -> None:
    assert not interrupts(text, "en", REPLY, "", REPLY, in_doubt=True)
    assert interrupts(text, "en", REPLY, "", REPLY)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Nine."),
        ("en", "Bye."),
        ("ru", "Неверно."),
        ("ru", "Непонятно."),
        ("ru", "Как?"),
        ("ru", "Дорого."),
        ("ar", "اين"),
    ],
)
def test_clear_word_that_is_close_to_a_back_channel_interrupts(language: str, text: str) -> None:
    assert interrupts(text, language, REPLY, "", REPLY)


@pytest.mark.parametrize(
    ("language", "text"),
    [("ru", "Как?"), ("ar", "ليه؟"), ("ru", "Неверно."), ("ru", "Непонятно."), ("en", "Unsure.")],
)
def test_question_or_denial_in_doubt_is_no_misheard_back_channel(language: str, text: str) -> None:
    assert interrupts(text, language, REPLY, "", REPLY, in_doubt=True)


@pytest.mark.parametrize("text", ["Yes.", "Okay.", "Mm-hm."])
def test_agreement_over_a_question_is_its_answer(text: str) -> None:
    assert interrupts(text, "en", QUESTION, "", QUESTION)


def test_single_word_of_the_reply_is_not_taken_for_its_echo() -> None:
    assert interrupts("Friday?", "en", REPLY, "", REPLY)


@pytest.mark.parametrize(
    ("language", "text", "reply"),
    [
        (
            "en",
            "actually we are closed on Sunday",
            "Sorry, but actually we are closed on Sunday.",
        ),
        (
            "ru",
            "Извините, у нас закрыто в воскресенье.",
            "Извините, у нас закрыто в воскресенье. Приходите в понедельник.",
        ),
        ("ar", "لحظة من فضلك", "لحظة من فضلك. العيادة مفتوحة."),
    ],
)
def test_stop_word_in_an_echo_does_not_interrupt(language: str, text: str, reply: str) -> None:
    assert not interrupts(text, language, reply, "", reply)


def test_stop_word_beside_an_echo_or_alone_interrupts() -> None:
    reply = "Sorry, but actually we are closed on Sunday."
    assert interrupts("Stop, actually we are closed on Sunday", "en", reply, "", reply)
    assert interrupts("actually we are closed on Sunday, wait", "en", reply, "", reply)
    assert interrupts("Actually.", "en", reply, "", reply)
    assert interrupts("Sorry, but", "en", reply, "", reply)


def test_words_of_the_reply_that_have_not_played_lately_are_the_callers_own() -> None:
    assert interrupts("Monday to Friday", "en", REPLY, "", "in the morning to six")


def test_short_sound_with_doubtful_words_is_a_grunt_unless_it_says_stop() -> None:
    assert not interrupts("Emma Kitem.", "en", REPLY, "", REPLY, short=True, in_doubt=True)
    assert interrupts("Emma Kitem.", "en", REPLY, "", REPLY, short=True)
    assert interrupts("Waite.", "en", REPLY, "", REPLY, short=True, in_doubt=True)
    assert interrupts("Emma, hold on, please.", "en", REPLY, "", REPLY, short=True, in_doubt=True)


PICKS = [
    ("en", "We have teeth cleaning, filling and", "teeth whitening.", "Which one would you like?"),
    ("ru", "У нас есть чистка зубов, пломба и", "отбеливание зубов.", "Что вам подходит?"),
    ("ar", "لدينا تنظيف الأسنان وحشوة الأسنان و", "تبييض الأسنان.", "ماذا تفضل؟"),
]


@pytest.mark.parametrize(("language", "offers", "pick", "then"), PICKS)
def test_offer_that_was_played_before_the_caller_began_is_picked(
    language: str, offers: str, pick: str, then: str
) -> None:
    speaking = f"{offers} {pick} {then}"
    for before in (pick, f"{offers} {pick}"):
        assert interrupts(pick, language, speaking, before, "")
        assert interrupts(pick, language, speaking, before, then)


@pytest.mark.parametrize(("language", "offers", "pick", "then"), PICKS)
def test_words_that_went_on_playing_when_they_came_back_are_an_echo(
    language: str, offers: str, pick: str, then: str
) -> None:
    speaking = f"{offers} {pick} {then}"
    first, last = pick.split()
    assert not interrupts(pick, language, speaking, offers, pick)
    assert not interrupts(pick, language, speaking, f"{offers} {first}", last)
    assert not interrupts(f"{pick} {then}", language, speaking, f"{offers} {pick}", then)


def test_words_played_both_before_and_since_may_be_an_echo() -> None:
    assert not interrupts("at ten", "en", SLOTS, "Monday at ten", "or Tuesday at ten")

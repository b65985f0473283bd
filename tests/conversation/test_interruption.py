from __future__ import annotations

import pytest

from gateway.conversation.interruption import Verdict, judge

REPLY = "We are open Monday to Friday from nine in the morning to six in the evening."
SLOTS = "I have Monday at ten or Tuesday at ten."
QUESTION = "Teeth cleaning costs one hundred and fifty dirhams. Would you like to book it?"


def interrupts(text: str, speaking: str, before: str, since: str, **how: bool) -> bool:
    return judge(text, speaking, before, since, **how) is Verdict.INTERRUPTS


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
    assert judge(text, REPLY, "", REPLY) is verdict


def test_short_sound_with_doubtful_words_is_still_a_sign_of_a_caller() -> None:
    verdict = judge("Emma Kitem.", REPLY, "", REPLY, short=True, in_doubt=True)
    assert verdict is Verdict.BACKCHANNEL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("...", False),
        ("Mm-hm.", False),
        ("Yeah, okay.", False),
        ("Stop.", True),
        ("Okay, wait.", True),
        ("What about Sunday?", True),
        ("Yes but how much is it", True),
        ("Monday to Friday from nine.", False),
        ("Open Monday", False),
        ("On Monday and Sunday please", True),
        ("Monday at nine in the evening", True),
        ("Ага.", False),
        ("Да, да, понятно.", False),
        ("Okay, got it.", False),
        ("Perfect.", False),
        ("All right, sounds good.", False),
        ("Okay, okay, okay, okay.", False),
        ("O.K.", False),
        ("Thank you.", False),
        ("Okay, thank you very much.", False),
        ("Thank you, goodbye.", True),
        ("See you.", True),
        ("That's not right.", True),
        ("Yes, good, fine, but no.", True),
        ("Я вас понял.", False),
        ("Всё верно.", False),
        ("Хорошо, спасибо.", False),
        ("Не понял.", True),
        ("إن شاء الله.", False),
        ("أوكيه، ممتاز.", False),
        ("أيوة.", False),
        ("مش فاهم.", True),
        ("Да-да.", False),
        ("Угу-угу.", False),
        ("Yeah-yeah-yeah.", False),
        ("Mmmmm.", False),
        ("Uh-uh.", True),
        ("Стоп.", True),
        ("Подождите, пожалуйста.", True),
        ("А в воскресенье?", True),
        ("نعم.", False),
        ("طيب", False),
        ("لحظة", True),
        ("وماذا عن يوم الأحد؟", True),
    ],
)
def test_words_over_a_statement(text: str, expected: bool) -> None:
    assert interrupts(text, REPLY, "", REPLY) is expected


@pytest.mark.parametrize("text", ["Yef.", "I seet."])
def test_nearly_a_back_channel_counts_as_one_only_if_the_words_are_in_doubt(text: str) -> None:
    assert not interrupts(text, REPLY, "", REPLY, in_doubt=True)
    assert interrupts(text, REPLY, "", REPLY)


@pytest.mark.parametrize(
    "text",
    ["Nine.", "Bye.", "Неверно.", "Непонятно.", "Как?", "Дорого.", "اين"],
)
def test_clear_word_that_is_close_to_a_back_channel_interrupts(text: str) -> None:
    assert interrupts(text, REPLY, "", REPLY)


@pytest.mark.parametrize(
    "text",
    ["Как?", "ليه؟", "Неверно.", "Непонятно.", "Unsure."],
)
def test_question_or_denial_in_doubt_is_no_misheard_back_channel(text: str) -> None:
    assert interrupts(text, REPLY, "", REPLY, in_doubt=True)


@pytest.mark.parametrize("text", ["Yes.", "Okay.", "Mm-hm."])
def test_agreement_over_a_question_is_its_answer(text: str) -> None:
    assert interrupts(text, QUESTION, "", QUESTION)


def test_single_word_of_the_reply_is_not_taken_for_its_echo() -> None:
    assert interrupts("10.", SLOTS, "", SLOTS)
    assert interrupts("Friday?", REPLY, "", REPLY)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (
            "actually we are closed on Sunday",
            "Sorry, but actually we are closed on Sunday.",
        ),
        (
            "Извините, у нас закрыто в воскресенье.",
            "Извините, у нас закрыто в воскресенье. Приходите в понедельник.",
        ),
        ("لحظة من فضلك", "لحظة من فضلك. العيادة مفتوحة."),
    ],
)
def test_stop_word_in_an_echo_does_not_interrupt(text: str, reply: str) -> None:
    assert not interrupts(text, reply, "", reply)


def test_stop_word_in_any_form_interrupts() -> None:
    for text in ("Секундочку.", "ثواني.", "Нет-нет.", "Стоп-стоп-стоп.", "No-no-no."):
        assert interrupts(text, REPLY, "", REPLY, short=True, in_doubt=True)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (REPLY, "from 9 in the morning to 6 in the evening."),
        ("We open from 9:00 AM to 6:00 PM.", "We open from nine a.m. to six p.m."),
        ("The price is two hundred and fifty dirhams.", "The price is 250 dirhams."),
        ("Your number is zero five five one two three.", "Your number is 055-123."),
        ("Your number is zero five five one two three.", "5-1-2."),
        ("Пломба стоит двести пятьдесят дирхамов.", "стоит 250 дирхамов"),
        ("سعر الحشوة مئتان وخمسون درهما.", "سعر الحشوة ٢٥٠ درهما."),
    ],
)
def test_echo_is_told_though_its_numbers_are_written_otherwise(said: str, heard: str) -> None:
    assert judge(heard, said, "", said) is Verdict.OWN_WORDS
    first, last = said.rsplit(maxsplit=2)[0], " ".join(said.rsplit(maxsplit=2)[1:])
    assert judge(heard, said, first, last) is Verdict.OWN_WORDS


def test_other_number_than_the_assistants_is_no_echo() -> None:
    assert interrupts("Tuesday at 11.", SLOTS, "", SLOTS)
    assert interrupts("с 10 до 7?", "Мы работаем с девяти до шести.", "", "с девяти до шести.")


def test_stop_word_beside_an_echo_or_alone_interrupts() -> None:
    reply = "Sorry, but actually we are closed on Sunday."
    assert interrupts("Stop, actually we are closed on Sunday", reply, "", reply)
    assert interrupts("actually we are closed on Sunday, wait", reply, "", reply)
    assert interrupts("Actually.", reply, "", reply)
    assert interrupts("Sorry, but", reply, "", reply)


def test_words_of_the_reply_that_have_not_played_lately_are_the_callers_own() -> None:
    assert interrupts("Monday to Friday", REPLY, "", "in the morning to six")


def test_short_sound_with_doubtful_words_is_a_grunt_unless_it_says_stop() -> None:
    assert not interrupts("Emma Kitem.", REPLY, "", REPLY, short=True, in_doubt=True)
    assert interrupts("Emma Kitem.", REPLY, "", REPLY, short=True)
    assert interrupts("Waite.", REPLY, "", REPLY, short=True, in_doubt=True)
    assert interrupts("Emma, hold on, please.", REPLY, "", REPLY, short=True, in_doubt=True)


PICKS = [
    ("We have teeth cleaning, filling and", "teeth whitening.", "Which one would you like?"),
    ("У нас есть чистка зубов, пломба и", "отбеливание зубов.", "Что вам подходит?"),
    ("لدينا تنظيف الأسنان وحشوة الأسنان و", "تبييض الأسنان.", "ماذا تفضل؟"),
]


@pytest.mark.parametrize(("offers", "pick", "then"), PICKS)
def test_offer_that_was_played_before_the_caller_began_is_picked(
    offers: str, pick: str, then: str
) -> None:
    speaking = f"{offers} {pick} {then}"
    for before in (pick, f"{offers} {pick}"):
        assert interrupts(pick, speaking, before, "")
        assert interrupts(pick, speaking, before, then)


@pytest.mark.parametrize(("offers", "pick", "then"), PICKS)
def test_words_that_went_on_playing_when_they_came_back_are_an_echo(
    offers: str, pick: str, then: str
) -> None:
    speaking = f"{offers} {pick} {then}"
    first, last = pick.split()
    assert not interrupts(pick, speaking, offers, pick)
    assert not interrupts(pick, speaking, f"{offers} {first}", last)
    assert not interrupts(f"{pick} {then}", speaking, f"{offers} {pick}", then)


def test_words_played_both_before_and_since_may_be_an_echo() -> None:
    assert not interrupts("at ten", SLOTS, "Monday at ten", "or Tuesday at ten")

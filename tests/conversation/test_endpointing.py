from __future__ import annotations

import pytest

from gateway.conversation.endpointing import Completeness, Endpointing, completeness
from gateway.conversation.policy import EndpointPolicy

COMPLETE, UNSURE = Completeness.COMPLETE, Completeness.UNSURE
DICTATING, INCOMPLETE = Completeness.DICTATING, Completeness.INCOMPLETE


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "What are your opening hours?", COMPLETE),
        ("en", "Yes, please.", COMPLETE),
        ("en", "No.", COMPLETE),
        ("en", "Where are you from?", COMPLETE),
        ("en", "What time do you open", UNSURE),
        ("en", "Hello.", UNSURE),
        ("en", "Can I come on Monday?", UNSURE),
        ("en", "I would like to book", INCOMPLETE),
        ("en", "I would like to book.", INCOMPLETE),
        ("en", "I need an appointment,", INCOMPLETE),
        ("en", "My name is", INCOMPLETE),
        ("en", "How much is", INCOMPLETE),
        ("en", "Um", INCOMPLETE),
        ("en", "My name.", INCOMPLETE),
        ("en", "Eight.", UNSURE),
        ("en", "It is five five", DICTATING),
        ("en", "Zero five five, eight six two,", DICTATING),
        ("en", "Two seven four three one nine eight", UNSURE),
        ("en", "Zero two seven four three one nine eight five five five", COMPLETE),
        ("en", "Call 0551234567 89", COMPLETE),
        ("en", "At half past two.", COMPLETE),
        ("ru", "Какие у вас часы работы?", COMPLETE),
        ("ru", "Да, можно.", COMPLETE),
        ("ru", "Здравствуйте.", UNSURE),
        ("ru", "Меня зовут", INCOMPLETE),
        ("ru", "Сколько стоит", INCOMPLETE),
        ("ru", "Я хочу записаться на", INCOMPLETE),
        ("ru", "Это пять пять", DICTATING),
        ("ru", "Можно оставить сообщение для?", INCOMPLETE),
        ("ru", "Ну.", INCOMPLETE),
        ("ar", "ما هي ساعات العمل؟", COMPLETE),
        ("ar", "نعم.", COMPLETE),
        ("ar", "مرحبا", UNSURE),
        ("ar", "أريد أن", INCOMPLETE),
        ("ar", "رقم هاتفي", INCOMPLETE),
        ("ar", "خمسة خمسة سبعة", DICTATING),
        ("ar", "أريد موعدًا غدًا.", UNSURE),
        ("ar", "مرحبًا.", UNSURE),
        ("en", "", UNSURE),
        ("en", "How much?", COMPLETE),
        ("en", "How much", INCOMPLETE),
        ("en", "At 10:30.", COMPLETE),
        ("en", "How do I cancel?", COMPLETE),
        ("en", "What time are you open until?", COMPLETE),
        ("en", "How do I cancel", INCOMPLETE),
        ("ru", "Как записаться?", COMPLETE),
        ("ru", "Я хочу записаться.", INCOMPLETE),
        ("ar", "كيف أحجز؟", COMPLETE),
        ("en", "10:30.", COMPLETE),
        ("en", "Yes, it is.", COMPLETE),
        ("en", "Yes, it is", INCOMPLETE),
        ("en", "Yes, I need.", INCOMPLETE),
        ("en", "Yes, I think that it is.", INCOMPLETE),
        ("ru", "Когда?", COMPLETE),
        ("ru", "А где?", COMPLETE),
        ("ru", "Когда", INCOMPLETE),
        ("ru", "Сколько стоит?", COMPLETE),
        ("ru", "В 14:30.", COMPLETE),
        ("ru", "Да, хочу.", COMPLETE),
        ("ru", "Нет, не хочу.", COMPLETE),
        ("ru", "Я хочу.", INCOMPLETE),
        ("ar", "من فضلك", INCOMPLETE),
        ("ar", "أريد موعدا من فضلك.", COMPLETE),
        ("ar", "نعم من فضلك.", COMPLETE),
        ("ar", "متى؟", COMPLETE),
        ("ar", "أين؟", COMPLETE),
        ("ar", "السعر كم؟", COMPLETE),
        ("ar", "كم", INCOMPLETE),
        ("ar", "الساعة 10:30.", COMPLETE),
        ("ar", "نعم أريد.", COMPLETE),
        ("ar", "لا أريد.", COMPLETE),
        ("en", "At 6 p.m.", UNSURE),
        ("en", "10:30 a.m.", UNSURE),
        ("en", "Monday at 6 p.m.", COMPLETE),
        ("en", "Are you open at 6 p.m.?", COMPLETE),
        ("en", "I would like to see Dr.", INCOMPLETE),
        ("en", "I would like to see Dr. Smith.", COMPLETE),
        ("ru", "Я живу на ул.", INCOMPLETE),
        ("ru", "Я живу в г. Москва, ул. Садовая, д. 5.", COMPLETE),
        ("ru", "Мне нужно раньше, т.е.", INCOMPLETE),
        ("ru", "Мне нужно раньше, то есть.", INCOMPLETE),
        ("ru", "Мне нужно раньше, т.к.", INCOMPLETE),
        ("ru", "Чистка, пломба и т.д.", COMPLETE),
        ("en", "I need it sooner, i.e.", INCOMPLETE),
        ("en", "My name is Okafor, O. K. A.", DICTATING),
        ("en", "It is O-K-A-F", DICTATING),
        ("en", "I come from the U.S.", COMPLETE),
        ("ar", "أين العيادة عند د.", INCOMPLETE),
        ("ar", "أين العيادة عند د. سامي؟", COMPLETE),
    ],
)
def test_how_complete_a_turn_sounds(language: str, text: str, expected: Completeness) -> None:
    assert completeness(text, language) is expected


def test_answer_to_a_question_for_a_name_is_a_dictation() -> None:
    asked = "Sure, may I have your name?"
    assert completeness("Peter.", "en", asked) is DICTATING
    assert completeness("Peter.", "en", "How can I help you?") is COMPLETE
    assert completeness("Okafor. O. K.", "en", asked) is DICTATING
    assert completeness("Okafor. O. K. A. F. O. R.", "en", asked) is DICTATING
    assert completeness("Come at 6 p.m.", "en", "What is the date?") is UNSURE
    assert completeness("My name is Peter Wright.", "en", asked) is COMPLETE


@pytest.mark.parametrize(
    ("language", "text", "asked"),
    [
        ("en", "Thank you.", "The address is twenty five Garden Street, near the train station."),
        ("en", "Thank you.", "Your number is fine. We will call you tomorrow."),
        ("en", "Thank you.", "What is your name? Thank you, Peter. How can I help you?"),
        ("ru", "Спасибо.", "Наш адрес Садовая, двадцать пять."),
        ("ar", "شكرا.", "عنوان العيادة شارع الحديقة."),
    ],
)
def test_reply_that_only_tells_an_address_or_number_is_no_question_for_one(
    language: str, text: str, asked: str
) -> None:
    assert completeness(text, language, asked) is COMPLETE


@pytest.mark.parametrize(
    ("language", "asked"),
    [
        ("en", "Of course. Please tell me your name."),
        ("en", "We are open on Monday. What is your name?"),
        ("ru", "Хорошо. Назовите ваше имя."),
        ("ru", "Номер телефона, пожалуйста."),
        ("ar", "حسنا. أعطني رقم هاتفك."),
        ("ar", "اسمك من فضلك."),
        ("en", "What is your name, for 6 p.m. Monday?"),
        ("en", "What is your number, for 9 a.m. Tuesday with Dr. Smith?"),
        ("ru", "Какой у вас номер телефона в г. Москва?"),
        ("ru", "Какой у вас адрес, ул. Садовая, д. 5?"),
        ("ar", "ما اسم طبيبك، د. سامي؟"),
    ],
)
def test_request_for_a_name_or_number_need_not_be_a_question(language: str, asked: str) -> None:
    assert completeness("Peter.", language, asked) is DICTATING


def test_thanks_for_an_address_are_answered_soon() -> None:
    policy = EndpointPolicy()
    asked = "The address is twenty five Garden Street, near the train station."
    assert Endpointing(policy).wait_ms("Thank you.", "en", asked) == policy.complete_ms


def test_number_is_asked_for_so_one_digit_is_its_beginning() -> None:
    assert completeness("Five.", "en", "What is your phone number?") is DICTATING
    assert completeness("It is 10:30.", "en", "What is your phone number?") is DICTATING
    assert completeness("Yes, it is.", "en", "What is your phone number?") is INCOMPLETE


@pytest.mark.parametrize(
    ("language", "number", "asked"),
    [
        ("en", "Four one five, sixteen.", "What is your phone number?"),
        ("en", "It is nineteen.", "What is your phone number?"),
        ("ru", "Восемь девятьсот шестнадцать.", "Какой у вас номер телефона?"),
        ("ru", "Это будет двенадцать.", "Какой у вас номер телефона?"),
        ("ar", "صفر خمسة خمسة وعشرين.", "ما رقم هاتفك؟"),
        ("ar", "مئة وخمسة وعشرون.", "ما رقم هاتفك؟"),
        ("ar", "الرقم هو خمسين.", "ما رقم هاتفك؟"),
        ("ar", "صفر خمسة أحد عشر.", ""),
    ],
)
def test_numbers_above_nine_are_dictated_too(language: str, number: str, asked: str) -> None:
    assert completeness(number, language, asked) is DICTATING


def test_complete_turns_wait_least_and_none_waits_longer_than_the_ceiling() -> None:
    policy = EndpointPolicy()
    endpointing = Endpointing(policy)
    waits = [
        endpointing.wait_ms(text, "en", "")
        for text in ("Where are you located?", "What time", "It is five five", "My name is")
    ]
    assert waits == sorted(waits)
    assert waits[0] == policy.complete_ms
    for _ in range(10):
        endpointing.cut_off()
        endpointing.went_on(1900)
    assert endpointing.wait_ms("What time", "en", "") == policy.ceiling_ms


@pytest.mark.parametrize(
    ("longer", "waits"),
    [
        (EndpointPolicy(complete_ms=1500), [1500, 1500, 1500, 1500]),
        (EndpointPolicy(unsure_ms=1100), [320, 1100, 1100, 1200]),
    ],
)
def test_less_complete_turns_wait_at_least_as_long_whichever_wait_is_made_longer(
    longer: EndpointPolicy, waits: list[float]
) -> None:
    endpointing = Endpointing(longer)
    assert waits == [
        endpointing.wait_ms(text, "en", "")
        for text in ("Where are you located?", "What time", "It is five five", "My name is")
    ]


def test_less_complete_turns_wait_at_least_as_long_for_a_caller_who_pauses_long() -> None:
    endpointing = Endpointing(EndpointPolicy())
    for _ in range(8):
        endpointing.went_on(1200)
    waits = [
        endpointing.wait_ms(text, "en", "")
        for text in ("What time", "It is five five", "My name is")
    ]
    assert waits == sorted(waits)
    assert waits[0] > EndpointPolicy().incomplete_ms


def test_caller_who_was_cut_off_is_given_more_time_which_wears_off() -> None:
    endpointing = Endpointing(EndpointPolicy())
    first = endpointing.wait_ms("Yes.", "en", "")
    endpointing.cut_off()
    patient = endpointing.wait_ms("Yes.", "en", "")
    assert patient > first
    for _ in range(10):
        endpointing.turn_over()
    assert endpointing.wait_ms("Yes.", "en", "") == first


def test_only_an_interruption_right_after_the_endpoint_counts_as_a_cut_off() -> None:
    endpointing = Endpointing(EndpointPolicy(reopen_ms=500))
    first = endpointing.wait_ms("Yes.", "en", "")
    endpointing.interrupted_after(2000)
    assert endpointing.wait_ms("Yes.", "en", "") == first
    endpointing.interrupted_after(200)
    assert endpointing.wait_ms("Yes.", "en", "") > first


def test_callers_own_long_pauses_stretch_the_unsure_wait() -> None:
    endpointing = Endpointing(EndpointPolicy())
    first = endpointing.wait_ms("so about that thing", "en", "")
    for _ in range(5):
        endpointing.went_on(900)
    assert endpointing.wait_ms("so about that thing", "en", "") > first


def test_words_in_doubt_do_not_prove_the_end_of_a_turn() -> None:
    policy = EndpointPolicy()
    endpointing = Endpointing(policy)
    assert endpointing.wait_ms("Where are you located.", "en", "", -0.1) == policy.complete_ms
    assert endpointing.wait_ms("Where are you located.", "en", "", -0.9) == policy.unsure_ms

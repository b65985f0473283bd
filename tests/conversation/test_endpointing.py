from __future__ import annotations

import pytest

from gateway.conversation.commands import CommitTurn
from gateway.conversation.endpointing import Completeness, Endpointing, completeness
from gateway.conversation.policy import EndpointPolicy, Phrases, Policy
from tests.conversation.driver import Driver

COMPLETE, UNSURE = Completeness.COMPLETE, Completeness.UNSURE
DICTATING, INCOMPLETE = Completeness.DICTATING, Completeness.INCOMPLETE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What are your opening hours?", COMPLETE),
        ("Yes, please.", COMPLETE),
        ("No.", COMPLETE),
        ("Where are you from?", COMPLETE),
        ("What time do you open", UNSURE),
        ("Hello.", UNSURE),
        ("Can I come on Monday?", UNSURE),
        ("I would like to book", INCOMPLETE),
        ("I would like to book.", INCOMPLETE),
        ("I need an appointment,", INCOMPLETE),
        ("My name is", INCOMPLETE),
        ("How much is", INCOMPLETE),
        ("Um", INCOMPLETE),
        ("My name.", INCOMPLETE),
        ("Eight.", UNSURE),
        ("It is five five", DICTATING),
        ("Zero five five, eight six two,", DICTATING),
        ("Two seven four three one nine eight", UNSURE),
        ("Zero two seven four three one nine eight five five five", COMPLETE),
        ("Call 0551234567 89", COMPLETE),
        ("At half past two.", COMPLETE),
        ("Какие у вас часы работы?", COMPLETE),
        ("Да, можно.", COMPLETE),
        ("Здравствуйте.", UNSURE),
        ("Меня зовут", INCOMPLETE),
        ("Сколько стоит", INCOMPLETE),
        ("Я хочу записаться на", INCOMPLETE),
        ("Это пять пять", DICTATING),
        ("Можно оставить сообщение для?", INCOMPLETE),
        ("Ну.", INCOMPLETE),
        ("ما هي ساعات العمل؟", COMPLETE),
        ("نعم.", COMPLETE),
        ("مرحبا", UNSURE),
        ("أريد أن", INCOMPLETE),
        ("رقم هاتفي", INCOMPLETE),
        ("خمسة خمسة سبعة", DICTATING),
        ("أريد موعدًا غدًا.", UNSURE),
        ("مرحبًا.", UNSURE),
        ("", UNSURE),
        ("How much?", COMPLETE),
        ("How much", INCOMPLETE),
        ("At 10:30.", COMPLETE),
        ("How do I cancel?", COMPLETE),
        ("What time are you open until?", COMPLETE),
        ("How do I cancel", INCOMPLETE),
        ("Как записаться?", COMPLETE),
        ("Я хочу записаться.", INCOMPLETE),
        ("كيف أحجز؟", COMPLETE),
        ("10:30.", COMPLETE),
        ("Yes, it is.", COMPLETE),
        ("Yes, it is", INCOMPLETE),
        ("Yes, I need.", INCOMPLETE),
        ("Yes, I think that it is.", INCOMPLETE),
        ("Когда?", COMPLETE),
        ("А где?", COMPLETE),
        ("Когда", INCOMPLETE),
        ("Сколько стоит?", COMPLETE),
        ("В 14:30.", COMPLETE),
        ("Да, хочу.", COMPLETE),
        ("Нет, не хочу.", COMPLETE),
        ("Я хочу.", INCOMPLETE),
        ("من فضلك", INCOMPLETE),
        ("أريد موعدا من فضلك.", COMPLETE),
        ("نعم من فضلك.", COMPLETE),
        ("متى؟", COMPLETE),
        ("أين؟", COMPLETE),
        ("السعر كم؟", COMPLETE),
        ("كم", INCOMPLETE),
        ("الساعة 10:30.", COMPLETE),
        ("نعم أريد.", COMPLETE),
        ("لا أريد.", COMPLETE),
        ("At 6 p.m.", UNSURE),
        ("10:30 a.m.", UNSURE),
        ("Monday at 6 p.m.", COMPLETE),
        ("Are you open at 6 p.m.?", COMPLETE),
        ("I would like to see Dr.", INCOMPLETE),
        ("I would like to see Dr. Smith.", COMPLETE),
        ("Я живу на ул.", INCOMPLETE),
        ("Я живу в г. Москва, ул. Садовая, д. 5.", COMPLETE),
        ("Мне нужно раньше, т.е.", INCOMPLETE),
        ("Мне нужно раньше, то есть.", INCOMPLETE),
        ("Мне нужно раньше, т.к.", INCOMPLETE),
        ("Чистка, пломба и т.д.", COMPLETE),
        ("I need it sooner, i.e.", INCOMPLETE),
        ("My name is Okafor, O. K. A.", DICTATING),
        ("It is O-K-A-F", DICTATING),
        ("I come from the U.S.", COMPLETE),
        ("أين العيادة عند د.", INCOMPLETE),
        ("أين العيادة عند د. سامي؟", COMPLETE),
        ("Let me think.", INCOMPLETE),
        ("One moment, please.", INCOMPLETE),
        ("Wait.", INCOMPLETE),
        ("My date of birth is.", INCOMPLETE),
        ("I was wondering.", INCOMPLETE),
        ("On the 21st.", UNSURE),
        ("На 12-го.", UNSURE),
        ("أريد أن أحجز فى.", INCOMPLETE),
        ("I think so.", COMPLETE),
        ("I haven't been there for a while.", COMPLETE),
        ("لم أزركم من قبل.", COMPLETE),
        ("No, I'm not.", COMPLETE),
        ("I'd like to see the doctor.", COMPLETE),
        ("Do you know where it is?", COMPLETE),
        ("How are you?", COMPLETE),
        ("Sorry?", COMPLETE),
        ("On the 12th of May.", UNSURE),
        ("Сейчас, секунду.", INCOMPLETE),
        ("Скажите, пожалуйста.", INCOMPLETE),
        ("Скажите, пожалуйста, где вы?", COMPLETE),
        ("Для моего.", INCOMPLETE),
        ("Нет ещё.", COMPLETE),
        ("В понедельник, 12 мая.", UNSURE),
        ("لحظة من فضلك.", INCOMPLETE),
        ("ثلاثين دقيقة.", COMPLETE),
        ("أبغى.", INCOMPLETE),
        ("وعايز.", INCOMPLETE),
        ("أيوه عايز.", COMPLETE),
        ("لو سمحت.", INCOMPLETE),
        ("حبيت اسأل.", INCOMPLETE),
        ("هلا والله.", UNSURE),
        ("صفر خمسه خمسه.", DICTATING),
        ("واحد اتنين تلاته.", DICTATING),
        ("اسمي علي.", COMPLETE),
        ("12.", UNSURE),
        ("В 18.00.", COMPLETE),
        ("At 9.30.", COMPLETE),
        ("Are you open 24/7?", COMPLETE),
        ("May 12, 1985.", COMPLETE),
        ("I was born on the 12th of May, 1985.", COMPLETE),
        ("12.05.1985.", COMPLETE),
        ("١٢ مايو ١٩٨٥.", COMPLETE),
        ("Is it $1,500?", COMPLETE),
        ("I was born in 1985.", UNSURE),
        ("I can pay 1,500.", UNSURE),
        ("Room 302.", UNSURE),
        ("My number is 415.", DICTATING),
        ("رقمي 415.", DICTATING),
        ("It is 055.", DICTATING),
        ("It is 8-916.", DICTATING),
        ("It is 415, 555.", DICTATING),
        ("It is +971", DICTATING),
        ("055 12 2034.", UNSURE),
        ("055-123-4567.", UNSURE),
        ("I was thinking...", INCOMPLETE),
        ("У меня тут такая ситуация…", INCOMPLETE),
        ("عندي موعد و..", INCOMPLETE),
        ("Hmmmm.", INCOMPLETE),
        ("Umm.", INCOMPLETE),
        ("Mmm.", INCOMPLETE),
        ("Э-э.", INCOMPLETE),
        ("Эээ.", INCOMPLETE),
        ("М-м.", INCOMPLETE),
        ("Хм.", INCOMPLETE),
        ("أمممم.", INCOMPLETE),
        ("ممم.", INCOMPLETE),
        ("Mm-hmm.", COMPLETE),
    ],
)
def test_how_complete_a_turn_sounds(text: str, expected: Completeness) -> None:
    assert completeness(text) is expected


def test_answer_to_a_question_for_a_name_is_a_dictation() -> None:
    asked = "Sure, may I have your name?"
    assert completeness("Peter.", asked) is DICTATING
    assert completeness("Peter.", "How can I help you?") is COMPLETE
    assert completeness("Okafor. O. K.", asked) is DICTATING
    assert completeness("Okafor. O. K. A. F. O. R.", asked) is DICTATING
    assert completeness("Come at 6 p.m.", "What is the date?") is UNSURE
    assert completeness("My name is Peter Wright.", asked) is COMPLETE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Thank you.", "The address is twenty five Garden Street, near the train station."),
        ("Yes.", "So your number is zero five five one two three, is that correct?"),
        ("Yes.", "Is your number 055 123 4567?"),
        ("No.", "Is this your phone number?"),
        ("Yes, please.", "Would you like me to send you the address?"),
        ("Да.", "Прислать вам наш адрес?"),
        ("نعم.", "هل أرسل لك العنوان؟"),
        ("Correct.", "So your name is John Smith, is that right?"),
        ("Да, верно.", "Ваш номер телефона 8 916 123-45-67, верно?"),
        ("نعم.", "رقمك هو 055، صحيح؟"),
        ("Thank you.", "Your number is fine. We will call you tomorrow."),
        ("Thank you.", "What is your name? Thank you, Peter. How can I help you?"),
        ("Спасибо.", "Наш адрес Садовая, двадцать пять."),
        ("شكرا.", "عنوان العيادة شارع الحديقة."),
    ],
)
def test_reply_that_tells_an_address_or_number_or_wants_it_confirmed_does_not_ask_for_one(
    text: str, asked: str
) -> None:
    assert completeness(text, asked) is COMPLETE


@pytest.mark.parametrize(
    "asked",
    [
        "Of course. Please tell me your name.",
        "We are open on Monday. What is your name?",
        "Хорошо. Назовите ваше имя.",
        "Номер телефона, пожалуйста.",
        "حسنا. أعطني رقم هاتفك.",
        "اسمك من فضلك.",
        "What is your name, for 6 p.m. Monday?",
        "What is your name, so that our doctor can send you the results?",
        "What is your number, for 9 a.m. Tuesday with Dr. Smith?",
        "Какой у вас номер телефона в г. Москва?",
        "Какой у вас адрес, ул. Садовая, д. 5?",
        "ما اسم طبيبك، د. سامي؟",
    ],
)
def test_request_for_a_name_or_number_need_not_be_a_question(asked: str) -> None:
    assert completeness("Peter.", asked) is DICTATING


def test_thanks_for_an_address_are_answered_soon() -> None:
    policy = EndpointPolicy()
    asked = "The address is twenty five Garden Street, near the train station."
    assert Endpointing(policy).wait_ms("Thank you.", asked) == policy.complete_ms


def test_date_that_is_asked_for_is_told_with_its_year() -> None:
    assert completeness("May 12, 1985.", "What is your date of birth?") is COMPLETE
    assert completeness("May 12.", "What is your date of birth?") is DICTATING
    assert completeness("055 19 1985.", "What is your phone number?") is UNSURE


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("S as in Sam, M as in Mary.", "Could you spell your name?"),
        ("It is B for boy, A for apple.", "Could you spell your name?"),
        ("Б как Борис, А как Анна.", "Продиктуйте фамилию по буквам."),
        ("ألف، حاء، ميم.", "هل يمكنك تهجئة اسمك؟"),
        ("It's john.smith.", "What is your email address?"),
        ("John underscore Smith.", "What is your e-mail?"),
        ("john.smith at gmail.", "What is your email address?"),
        ("Иван точка Петров собака mail.", "Назовите вашу почту."),
        ("أحمد دوت علي آت جيميل.", "ما بريدك الإلكتروني؟"),
    ],
)
def test_what_is_spelled_is_a_dictation_however_long(text: str, asked: str) -> None:
    assert completeness(text, asked) is DICTATING


@pytest.mark.parametrize(
    "text",
    [
        "It's john.smith@gmail.com.",
        "john.smith at gmail dot com.",
        "Моя почта ivan.petrov@mail.ru.",
        "أحمد دوت علي آت جيميل دوت كوم.",
    ],
)
def test_address_of_e_mail_that_has_its_end_is_complete(text: str) -> None:
    assert completeness(text, "What is your email address?") is COMPLETE


def test_question_to_whoever_asks_for_a_number_is_no_dictation() -> None:
    for text in ("What?", "Что?", "نعم؟", "Why do you ask?"):
        assert completeness(text, "What is your email address?") is UNSURE


def test_number_is_asked_for_so_one_digit_is_its_beginning() -> None:
    assert completeness("Five.", "What is your phone number?") is DICTATING
    assert completeness("It is 10:30.", "What is your phone number?") is DICTATING
    assert completeness("Yes, it is.", "What is your phone number?") is INCOMPLETE


@pytest.mark.parametrize(
    ("number", "asked"),
    [
        ("Four one five, sixteen.", "What is your phone number?"),
        ("It is nineteen.", "What is your phone number?"),
        ("Восемь девятьсот шестнадцать.", "Какой у вас номер телефона?"),
        ("Это будет двенадцать.", "Какой у вас номер телефона?"),
        ("صفر خمسة خمسة وعشرين.", "ما رقم هاتفك؟"),
        ("مئة وخمسة وعشرون.", "ما رقم هاتفك؟"),
        ("الرقم هو خمسين.", "ما رقم هاتفك؟"),
        ("صفر خمسة أحد عشر.", ""),
    ],
)
def test_numbers_above_nine_are_dictated_too(number: str, asked: str) -> None:
    assert completeness(number, asked) is DICTATING


def test_complete_turns_wait_least_and_none_waits_longer_than_the_ceiling() -> None:
    policy = EndpointPolicy()
    endpointing = Endpointing(policy)
    waits = [
        endpointing.wait_ms(text, "")
        for text in ("Where are you located?", "What time", "It is five five", "My name is")
    ]
    assert waits == sorted(waits)
    assert waits[0] == policy.complete_ms
    for _ in range(10):
        endpointing.cut_off()
        endpointing.went_on(1900)
    assert endpointing.wait_ms("What time", "") == policy.ceiling_ms


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
        endpointing.wait_ms(text, "")
        for text in ("Where are you located?", "What time", "It is five five", "My name is")
    ]


def test_less_complete_turns_wait_at_least_as_long_for_a_caller_who_pauses_long() -> None:
    endpointing = Endpointing(EndpointPolicy())
    for _ in range(8):
        endpointing.went_on(1200)
    waits = [
        endpointing.wait_ms(text, "") for text in ("What time", "It is five five", "My name is")
    ]
    assert waits == sorted(waits)
    assert waits[0] > EndpointPolicy().incomplete_ms


def test_caller_who_was_cut_off_is_given_more_time_which_wears_off() -> None:
    endpointing = Endpointing(EndpointPolicy())
    first = endpointing.wait_ms("Yes.", "")
    endpointing.cut_off()
    patient = endpointing.wait_ms("Yes.", "")
    assert patient > first
    for _ in range(10):
        endpointing.turn_over()
    assert endpointing.wait_ms("Yes.", "") == first


def test_only_an_interruption_right_after_the_endpoint_counts_as_a_cut_off() -> None:
    endpointing = Endpointing(EndpointPolicy(reopen_ms=500))
    first = endpointing.wait_ms("Yes.", "")
    endpointing.interrupted_after(2000)
    assert endpointing.wait_ms("Yes.", "") == first
    endpointing.interrupted_after(200)
    assert endpointing.wait_ms("Yes.", "") > first


def test_callers_own_long_pauses_stretch_the_unsure_wait() -> None:
    endpointing = Endpointing(EndpointPolicy())
    first = endpointing.wait_ms("so about that thing", "")
    for _ in range(5):
        endpointing.went_on(900)
    assert endpointing.wait_ms("so about that thing", "") > first


def test_words_in_doubt_do_not_prove_the_end_of_a_turn() -> None:
    policy = EndpointPolicy()
    endpointing = Endpointing(policy)
    assert endpointing.wait_ms("Where are you located.", "", -0.1) == policy.complete_ms
    assert endpointing.wait_ms("Where are you located.", "", -0.9) == policy.unsure_ms


@pytest.mark.parametrize(
    ("call", "recognised", "text"),
    [
        ("ru", "en", "Um."),
        ("ar", "en", "I want to."),
        ("en", "ru", "Я хочу"),
        ("ar", "ar", "أريد أحجز appointment for."),
    ],
)
def test_unfinished_words_of_another_language_than_the_calls_are_waited_for(
    call: str, recognised: str, text: str
) -> None:
    driver = Driver(Policy("en", {"en": Phrases()}))
    driver.start(call)
    driver.say(800)
    driver.silence(200)
    waited = driver.transcript(text, recognised) + driver.silence(900)
    assert not any(isinstance(command, CommitTurn) for command in waited)
    assert any(isinstance(command, CommitTurn) for command in driver.silence(200))


def test_name_is_dictated_though_the_caller_answers_in_another_language() -> None:
    assert completeness("Иван.", "What is your name?") is DICTATING


def test_words_of_a_pause_are_judged_once_and_not_for_every_frame_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[tuple[str, str]] = []

    def judge(text: str, asked: str) -> Completeness:
        judged.append((text, asked))
        return completeness(text, asked)

    monkeypatch.setattr("gateway.conversation.endpointing.completeness", judge)
    endpointing = Endpointing(EndpointPolicy())
    for text, asked in (("Yes.", ""), ("Yes.", ""), ("Yes.", "Name?"), ("Yes, it", "Name?")):
        endpointing.wait_ms(text, asked)
    assert judged == [("Yes.", ""), ("Yes.", "Name?"), ("Yes, it", "Name?")]

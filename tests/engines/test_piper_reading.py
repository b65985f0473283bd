"""What voices are given instead of what espeak-ng would read as no person does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.piper_reading import read_out
from tests.engines.test_piper import speak, speak_words

ENGLISH = [
    ("A filling is AED 250, cleaning 150 AED.", "A filling is 250 dirhams, cleaning 150 dirhams."),
    ("It costs $5.99 or £1.", "It costs 5 dollars and 99 cents or 1 pound."),
    ("That is $1,250.00 (€45)!", "That is 1250 dollars (45 euros)!"),
    ("From $50-$100, or $1.5 million.", "From 50 dollars to 100 dollars, or 1.5 million dollars."),
    ("Just $0.50, or $5K-$10K.", "Just 50 cents, or 5 thousand dollars to 10 thousand dollars."),
    ("Pay Dhs. 150 in 5-10 min.", "Pay 150 dirhams in 5 to 10 minutes."),
    ("It is $20/visit.", "It is 20 dollars per visit."),
    ("Call +971 4 555 1234.", "Call plus 9 7 1, 4, 5 5 5, 1 2 3 4."),
    ("Call (555) 123-4567 now.", "Call 5 5 5, 1 2 3, 4 5 6 7 now."),
    ("Your number is 0501234567?", "Your number is 0 5 0 1 2 3 4 5 6 7?"),
    ("Open 9:00 AM - 6:00 PM.", "Open 9 AM to 6 PM."),
    ("From 9am-6pm or 6.30 pm.", "From 9am to 6pm or 6:30 pm."),
    ("Open 9:00–18:00, lunch 12:30.", "Open 9 o'clock to 18 hundred, lunch 12:30."),
    ("Closed from 00:00 to 6:00.", "Closed from midnight to 6 o'clock."),
    ("It takes 1-2 hours, 24/7.", "It takes 1 to 2 hours, 24 7."),
    ("On 2026-12-03 or 25/03/2026.", "On December 3, 2026 or March 25, 2026."),
    ("On 03/12/2026, not 13-01-26.", "On 3, 12, 2026, not January 13, 2026."),
    ("Founded in 1999-2000 at 10:00:00.", "Founded in 1999 to 2000 at 10:00:00."),
    ("On Dec. 3 or Jan 5, Mon.-Fri.", "On December 3 or January 5, Monday to Friday."),
    ("Mon–Fri, and on Sat. we rest.", "Monday to Friday, and on Saturday we rest."),
    ("We open Mon, Wed, and Fri.", "We open Monday, Wednesday, and Friday."),
    ("Dr. Khan is at 25 Garden St., No. 5.", "Doctor Khan is at 25 Garden Street, number 5."),
    ("Mail info@pearl.ae now.", "Mail info at pearl dot ae now."),
    ("See https://www.pearl.ae/book/.", "See www dot pearl dot ae slash book."),
    ("See pearl.ae/book?id=5, ext. 12.", "See pearl dot ae slash book extension 12."),
    ("Booking #4521, and/or 5.", "Booking number 4521, and or 5."),
    ("Yes!We do.Please come.", "Yes! We do. Please come."),
]
ARABIC = [
    ("السعر 250 د.إ. للحشوة", "السعر 250 درهم للحشوة"),
    ("السعر AED 250 و200 ر.س.", "السعر 250 درهم و200 ريال."),
    ("رقم #5، سنة 2025-2026م", "رقم 5، سنة 2025 إلى 2026م"),
    ("الساعة 9:05 ص، خصم 5%-10%", "الساعة 9 و5 دقائق صباحًا، خصم 5 بالمئة إلى 10 بالمئة"),
    ("خصم ١٠٪ أو %5 أو 3%", "خصم 10 بالمئة أو 5 بالمئة أو 3 بالمئة"),
    ("من ٩:٠٠ ص - ٦:٣٠ م.", "من 9 صباحًا إلى 6 و30 دقيقة مساءً."),
    ("من 100-200 درهم", "من 100 إلى 200 درهم"),
    ("الرقم +971 50 123 4567.", "الرقم زائد 9 7 1, 5 0, 1 2 3, 4 5 6 7."),
    ("يوم 03/12/2026.", "يوم 3 ديسمبر 2026."),
    ("د. سامي، ص.ب 1234", "الدكتور سامي، صندوق بريد 1234"),
    ("info@pearl.ae", "info آت pearl نقطة ae"),
]
RUSSIAN = [
    ("Пломба 1 500 ₽, чистка 21 руб.", "Пломба 1500 рублей, чистка 21 рубль."),
    ("За 99,90 руб. или $2.", "За 99 рублей 90 копеек или 2 доллара."),
    ("1 500 рублей, 1,5 тыс. руб. в год", "1500 рублей, 1,5 тысячи рублей в год"),
    ("1500р. или 1 млн руб. за 15 чел.", "1500 рублей или 1 миллион рублей за 15 человек."),
    ("Мы работаем с 9.00 до 18-00.", "Мы работаем с 9:00 до 18:00."),
    ("С пн. по пт., в ср и до сб", "С понедельника по пятницу, в среду и до субботы"),
    ("С 1 по 10 мая, в 2027 г. на ул. Мира", "С первого по десятое мая, в 2027 году на улица Мира"),
    ("д.5, каб. 12, доб. 3", "дом 5, кабинет 12, добавочный 3"),
    ("1500 руб. 10 мин. ждать", "1500 рублей 10 минут ждать"),
    ("Скидка 22% или 1,5%.", "Скидка 22 процента или 1,5 процента."),
    ("Телефон 84951234567.", "Телефон 8 495 123 45 67."),
    ("+7 (495) 123-45-67, 8 800 555 35 35", "+7 (495) 123-45-67, 8 800 555 35 35"),
    ("На 5 декабря, 2-й этаж, 23-го.", "На пятое декабря, второй этаж, двадцать третьего."),
    (
        "С 05.12.2026 или 31 мая 2027 г.",
        "С пятого декабря 2026 года или тридцать первого мая 2027 года.",
    ),
    ("г. Москва, ул. Мира, д. 5, кв. 2", "город Москва, улица Мира, дом 5, квартира 2"),
    ("Пн–пт в 10 ч. 30 мин.", "понедельник–пятница в 10 часов 30 минут."),
    ("Пломбы и т. д. Что ещё? Т.е. 24/7.", "Пломбы и так далее. Что ещё? то есть 24 на 7."),
    ("info@pearl.ru", "info собака pearl точка ru"),
]


@pytest.mark.parametrize(
    ("language", "written", "read"),
    [
        (language, *texts)
        for language, all_texts in (("en", ENGLISH), ("ar", ARABIC), ("ru", RUSSIAN))
        for texts in all_texts
    ],
)
def test_numbers_and_abbreviations_are_read_as_people_say_them(
    language: str, written: str, read: str
) -> None:
    assert read_out(written, language) == read


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "We open at nine, and at 9:30 on the 2nd floor, room 305."),
        ("en", "No. We are at St. Mary's in the sun, from 3.50 to A12-B34."),
        ("en", "Your name is 0 5 0 1 2 3 4."),
        ("ar", "نعمل من التاسعة إلى الخامسة، 12 يوما."),
        ("ru", "Здравствуйте, в 2026 году мы работаем с 9:00 до 18:00."),
        ("ru", "Вы записаны на 03.12 или на 3-4 дня."),
        ("uk", "Це коштує $5."),
    ],
)
def test_other_text_is_left_as_it_is(language: str, text: str) -> None:
    assert read_out(text, language) == text


@given(
    st.text(alphabet="0159 .,:/-–+$€₽%()@#aAmpMг.дصم٣\n", min_size=1, max_size=60),
    st.sampled_from(["en", "ar", "ru"]),
)
def test_whatever_is_written_can_be_read(text: str, language: str) -> None:
    if any(map(str.isalnum, text)):
        assert any(map(str.isalnum, read_out(text, language)))


def test_a_voice_says_what_is_read_out() -> None:
    (number,), (price,) = speak("Это пять.", "ru"), speak("Это 5 ₽.", "ru")
    assert len(price) > 1.3 * len(number)


def test_words_end_where_those_end_that_are_read_out_for_them() -> None:
    (read,) = speak_words("It is 250 dirhams and 50 fils in total today.", "en")
    (written,) = speak_words("It is AED 250.50 in total today.", "en")
    assert [word.text for word in written.words] == "It is AED 250.50 in total today.".split()
    assert [word.end for word in written.words[-4:]] == [word.end for word in read.words[-4:]]

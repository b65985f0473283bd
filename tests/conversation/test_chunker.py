from __future__ import annotations

import time

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


@pytest.mark.parametrize(
    "text", ["Open today 9 – 18.", "We open at 9:00 AM – 6 PM.", "Every day from 9 a.m. — 6 p.m."]
)
def test_first_piece_does_not_end_within_a_range(text: str) -> None:
    assert pieces(text) == [text]


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


@pytest.mark.parametrize("step", [1, 4, 100])
@pytest.mark.parametrize(
    "sentence",
    [
        "We are open from 9 a.m. to 6 p.m. on weekdays.",
        "Стоимость 500 руб. за приём или 20 мин. после записи.",
        "Смена т.е. часы работы и т.д. указаны здесь.",
        "Приходите раньше т.к. мы закрываемся.",
        "Наш адрес кв. 5 корп. 2 рядом.",
        "Ask prof. Lee e.g. on Monday at approx. 9.",
        "Open 9 a.m. 6 p.m. every day.",
        "We are open until 6 p.m. Monday to Friday.",
        "Come at 9 a.m. Tuesday with Dr. Smith.",
        "Come at 9 a.m. March 5.",
        "Ask for room No. 5 here.",
        "You are booked for Dec. 3 at ten.",
        "Pay Dhs. 150 at P.O. Box 5.",
        "Мы на пр. Мира оф. 5 доб. 12.",
        "We are there Mon. to Wed. and on Sat. from 9.",
        "It takes 30 min. or 1 hr. at most.",
        "Цена от 1,5 тыс. руб. за приём.",
        "Приём по вт. и сб. в каб. № 305 рядом.",
        "Мы в г. Москва на ул. Садовая д. 5 рядом.",
        "عندنا د. سامي يوم الأحد.",
        "عندنا أ.د. سامي يوم الأحد.",
    ],
)
def test_abbreviation_does_not_end_a_sentence(sentence: str, step: int) -> None:
    assert pieces(f"{sentence} Thanks.", step) == [sentence, "Thanks."]


@pytest.mark.parametrize("step", [1, 4, 100])
@pytest.mark.parametrize(
    "sentence", ["We close at 6 p.m.", "Open on Sat.", "Приём стоит 500 руб.", "No."]
)
def test_abbreviation_before_a_capital_letter_may_end_a_sentence(sentence: str, step: int) -> None:
    assert pieces(f"{sentence} Would you like to book?", step)[0] == sentence


@pytest.mark.parametrize("step", [1, 4, 100])
def test_word_that_only_begins_like_a_month_ends_the_sentence_before(step: int) -> None:
    assert pieces("We close at 6 p.m. May I book it?", step)[0] == "We close at 6 p.m."


def test_full_stop_before_a_small_letter_does_not_end_a_sentence() -> None:
    chunker = Chunker()
    assert [chunker.push(token) for token in ("Open", " Mon.", " to", " Fri", ".", " Come")] == [
        *[[]] * 5,
        ["Open Mon. to Fri."],
    ]


@pytest.mark.parametrize("end", ["?", "!", "…", "..."])
def test_other_ends_of_a_sentence_do_not_ask_what_follows(end: str) -> None:
    assert pieces(f"Really{end} then come.", 100) == [f"Really{end}", "then come."]


@pytest.mark.parametrize("step", [1, 4, 100])
def test_list_is_spoken_line_by_line_and_each_number_with_its_line(step: int) -> None:
    assert pieces("We offer:\n1. Cleaning\n2. Filling\n\n10. Whitening\n", step) == [
        "We offer:",
        "1. Cleaning",
        "2. Filling",
        "10. Whitening",
    ]


@pytest.mark.parametrize("step", [1, 4, 100])
def test_markup_behind_a_full_stop_changes_no_end_of_a_sentence(step: int) -> None:
    assert pieces("**Sure!** Ask _Dr._ Smith.\n**1.** Filling", step) == [
        "**Sure!**",
        "Ask _Dr._ Smith.",
        "**1.** Filling",
    ]


def test_line_break_ends_a_piece_at_once() -> None:
    chunker = Chunker()
    assert chunker.push("Opening hours\n") == ["Opening hours"]
    assert chunker.push("Until 6 p.m.\n") == ["Until 6 p.m."]


def test_empty_line_before_a_reply_is_not_its_first_piece() -> None:
    assert pieces("\n\nWe are open today, from nine to six.")[0] == "We are open today,"


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


@pytest.mark.parametrize("unit", [".", "word ", "no end, "])
def test_a_text_that_comes_at_once_takes_time_as_it_is_long(unit: str) -> None:
    def seconds(length: int) -> float:
        text, begun = (unit * length)[:length], time.perf_counter()
        found = pieces(text, step=length)
        took = time.perf_counter() - begun
        assert max(map(len, found)) <= 160
        assert "".join("".join(found).split()) == "".join(text.split())
        return took

    # Were each piece to look through the whole text, it would be 16 times and more.
    assert min(seconds(8_000) for _ in range(3)) < 10 * min(seconds(2_000) for _ in range(3))

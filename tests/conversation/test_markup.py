from __future__ import annotations

import pytest

from gateway.conversation.markup import plain


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("**Opening hours:** _nine_ to __six__", "Opening hours: nine to six"),
        ("1. **تنظيف الأسنان**: 150", "1. تنظيف الأسنان: 150"),
        ("   * *White* filling", "White filling"),
        ("- чистка — 1500 руб.;", "чистка — 1500 руб.;"),
        ("### Часы работы", "Часы работы"),
        ("Book [on our site](https://pearl.ae/book), please.", "Book on our site, please."),
        ("| Cleaning | 150 AED |", "Cleaning, 150 AED"),
        ("We open<br/>at <b>nine</b> today.", "We open at nine today."),
        ("<|start_header_id|>Yes.", "Yes."),
        ("Ｏｐｅｎ　９：００", "Open 9:00"),
        ("عــــيادة اللؤلؤة", "عيادة اللؤلؤة"),
        ("~~Not~~ `SMILE10`", "Not SMILE10"),
    ],
)
def test_marks_for_the_eye_are_taken_out(written: str, told: str) -> None:
    assert plain(written) == told


@pytest.mark.parametrize(
    "text",
    [
        "Flat #5, please.",
        "We are at 25 Garden Street - near the station.",
        "Half of 2*75.",
        "Write to john_smith@pearl.ae or <https://pearl.ae>.",
        "It is < 5 and > 3, (see) [it].",
        "+971 4 555 1234",
    ],
)
def test_what_only_looks_like_markup_is_left(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("nothing", ["***", "| |", "</s>", "``", ""])
def test_of_markup_alone_nothing_is_left(nothing: str) -> None:
    assert plain(nothing) == ""

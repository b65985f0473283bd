from __future__ import annotations

import pytest

from gateway.conversation.figures import in_figures
from gateway.conversation.lexicon import words_of


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("two hundred and fifty dirhams", "250 dirhams"),
        ("two thousand five hundred", "2,500"),
        ("twenty five Garden Street", "25 Garden Street"),
        ("zero five five one two three four", "055-1234"),
        ("nineteen eighty five", "1985"),
        ("ten five", "10 5"),
        ("at nine thirty", "at 9:30"),
        ("from nine a.m.", "from 9:00 AM"),
        ("one hundred and then two", "100 and then 2"),
        ("hundred", "100"),
        ("двести пятьдесят дирхамов", "250 дирхамов"),
        ("сто двадцать пять", "125"),
        ("сто десять пять", "110 5"),
        ("с девяти до шести", "с 9 до 6"),
        ("восемь девятьсот шестнадцать", "8 916"),
        ("مئتان وخمسون درهما", "250 درهما"),
        ("مئة وخمسة وعشرون", "125"),
        ("الساعة خمسة عشر", "الساعة 15"),
        ("صفر خمسة خمسة", "٠٥٥"),
        ("واحد واحد", "11"),
    ],
)
def test_number_is_the_same_in_words_and_in_figures(spoken: str, written: str) -> None:
    assert in_figures(words_of(spoken)) == in_figures(words_of(written))


def test_other_numbers_and_other_words_stay_different() -> None:
    assert in_figures(words_of("at ten or eleven")) == ["at", "1", "0", "or", "1", "1"]
    assert in_figures(words_of("I am a man")) == ["i", "am", "a", "man"]
    assert in_figures([]) == []

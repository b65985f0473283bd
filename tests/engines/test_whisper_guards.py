"""Inventions of the decoder are told from speech; windows and cuts fit the speech."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE
from gateway.engines.whisper_guards import (
    Verdict,
    compression_ratio,
    has_loop,
    is_silent,
    judge,
    without_captions,
)
from gateway.engines.whisper_window import FULL_WINDOW, choose_window, split_at_quiet


@pytest.mark.parametrize(
    ("text", "duration_s", "avg_logprob", "no_speech_prob", "verdict"),
    [
        ("Book a table for two.", 2.0, -0.3, 0.0, Verdict.GOOD),
        ("Book a table for two.", 2.0, -0.3, 0.9, Verdict.GOOD),
        ("Book a table for two.", 2.0, -1.2, 0.9, Verdict.SILENCE),
        ("", 2.0, 0.0, 0.9, Verdict.SILENCE),
        ("Book a table for two.", 2.0, -1.2, 0.1, Verdict.DEGENERATE),
        ("ha" * 60, 20.0, -0.1, 0.0, Verdict.DEGENERATE),
        ("This is far more than anybody can say in so little time.", 0.5, -0.1, 0.0,
         Verdict.DEGENERATE),
        ("thank you very much " * 5, 10.0, -0.1, 0.0, Verdict.DEGENERATE),
    ],
)  # fmt: skip
def test_guards_tell_speech_from_inventions(
    text: str, duration_s: float, avg_logprob: float, no_speech_prob: float, verdict: Verdict
) -> None:
    assert judge(text.strip(), duration_s, avg_logprob, no_speech_prob) is verdict


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("Субтитры сделал DimaTorzok", ""),
        ("Редактор субтитров А.Семкин Корректор А.Егорова", ""),
        ("До свидания. Субтитры создавал DimaTorzok", "До свидания."),
        ("До свидания Субтитры создавал DimaTorzok", "До свидания"),
        ("Продолжение следует...", ""),
        ("Yes. Thanks for watching!", "Yes."),
        ("Subtitles by the Amara.org community", ""),
        ("اشتركوا في القناة", ""),
        ("ترجمة نانسي قنقر", ""),
        ("شكرًا للمشاهدة", ""),
        ("شكرا لكم على المشاهدة.", ""),
        ("Корректор А.Кулакова", ""),
        ("Спасибо за внимание!", ""),
        ("Подписывайтесь на мой канал!", ""),
        ("Thank you for watching this video.", ""),
        ("Yes. I'll see you in the next video.", "Yes."),
        ("Please like and subscribe!", ""),
    ],
)
def test_credits_of_subtitles_are_not_taken_for_speech(heard: str, said: str) -> None:
    assert without_captions(heard) == said


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("[Music]", ""),
        ("[BLANK_AUDIO]", ""),
        ("(speaking Arabic)", ""),
        ("(смех)", ""),
        ("♪♪♪", ""),
        ("*cough*", ""),
        ("[Music] Hello.", "Hello."),
        ("ТРЕВОЖНАЯ МУЗЫКА", ""),
        ("АПЛОДИСМЕНТЫ", ""),
        ("ЗВОНОК ТЕЛЕФОНА", ""),
    ],
)
def test_notes_on_sounds_are_not_taken_for_speech(heard: str, said: str) -> None:
    assert without_captions(heard) == said


@pytest.mark.parametrize(
    "said",
    [
        "(555) 123-4567",
        "Can you call me at (555) 123-4567?",
        "МРТ.",
        "У вас играет музыка.",
        "Спасибо за внимание к моему вопросу.",
        "See you in the next week.",
        "How do I subscribe?",
        "Корректор зубов.",
        "У вас есть субтитры?",
        "Спасибо за просмотр квартиры.",
        "Thank you for watching my dog.",
        "I said thanks for watching.",
        "Как подписаться на канал?",
    ],
)
def test_what_callers_say_about_such_things_is_kept(said: str) -> None:
    assert without_captions(said) == said


def test_phone_numbers_are_not_loops() -> None:
    assert not has_loop("zero five five five five five five one two")
    assert not has_loop("yes yes yes no no no")
    assert has_loop("no " * 12)
    assert has_loop("and I said to him " * 6)
    eight = "one two three four five six seven eight "
    assert has_loop(eight * 6) and not has_loop(eight * 2)


def test_ordinary_text_does_not_compress_like_a_loop() -> None:
    assert compression_ratio("I would like to book an appointment for tomorrow.") < 1.5
    assert compression_ratio("so so so so " * 20) > 2.4


@pytest.mark.parametrize(
    "number",
    [
        "ноль пятьсот пятьдесят пять, пятьсот пятьдесят пять, пятьдесят пять, пятьдесят пять",
        "خمسمائة وخمسة وخمسون، خمسمائة وخمسة وخمسون، خمسة وخمسون، خمسة وخمسون",
        "five hundred and fifty five, five hundred and fifty five, fifty five, fifty five",
    ],
)
def test_a_telephone_number_said_twice_is_doubted_once_and_not_thrown_away(number: str) -> None:
    said = f"{number}. {number}."
    assert judge(said, 14.0, -0.1, 0.0) is Verdict.DEGENERATE
    assert judge(said, 14.0, -0.1, 0.0, last=True) is Verdict.GOOD


def test_silence_is_told_by_its_peak() -> None:
    assert is_silent(np.zeros(0, np.int16))
    assert is_silent(np.full(100, -32, np.int16))
    assert not is_silent(np.array([0, -32768], np.int16))


def test_the_window_is_the_smallest_that_holds_speech_and_padding() -> None:
    assert choose_window(0) == 200
    assert choose_window(round(1.5 * SAMPLE_RATE)) == 200
    assert choose_window(round(1.6 * SAMPLE_RATE)) == 300
    assert choose_window(28 * SAMPLE_RATE) == FULL_WINDOW
    assert choose_window(SAMPLE_RATE, "full") == FULL_WINDOW


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    noise = np.random.default_rng(2).normal(0, 3000, 60 * SAMPLE_RATE).astype(np.int16)
    for second in (23, 45):
        noise[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE] = 0
    pieces = list(split_at_quiet(noise))
    np.testing.assert_array_equal(np.concatenate(pieces), noise)
    cuts = np.cumsum([len(piece) for piece in pieces])[:-1] / SAMPLE_RATE
    assert [int(cut) for cut in cuts] == [23, 45]

"""Text is cut where a speaker pauses; speech is levelled and trimmed."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE
from gateway.engines.piper_shape import KNEE, active_rms, gain_to, shape_piece, to_int16
from gateway.engines.piper_text import (
    CLAUSE_PAUSE_S,
    FIRST_CHARS,
    MOST_CHARS,
    SENTENCE_PAUSE_S,
    USUAL_CHARS,
    readable_in,
    split_speakable,
)


def test_two_thousand_characters_start_with_a_short_piece() -> None:
    text = "Please wait for a moment, then we will check the calendar, and call you back. " * 26
    pieces = split_speakable(text[:2000])
    assert len(pieces[0].text) <= FIRST_CHARS
    assert max(len(piece.text) for piece in pieces) <= USUAL_CHARS
    assert " ".join(piece.text for piece in pieces) == text[:2000].strip()


def texts(text: str) -> list[str]:
    return [piece.text for piece in split_speakable(text)]


def test_text_is_cut_into_sentences() -> None:
    assert texts("Yes. Is it? It is!\nGood") == ["Yes.", "Is it?", "It is!", "Good"]
    assert texts("No. We are closed.") == ["No.", "We are closed."]
    assert texts("هل أنت هنا؟ نعم.") == ["هل أنت هنا؟", "نعم."]
    assert texts('He said "Stop!" Then he left.') == ['He said "Stop!"', "Then he left."]


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("Пожалуйста, Anna!", "en", "ru"),
        ("عفوا.", "en", "ar"),
        ("عفوا.", "ru", "ar"),
        ("Не за что.", "ar", "ru"),
        ("You are welcome.", "ru", "ru"),  # it can read that, with an accent
        ("Ask for Анна, please.", "en", "en"),
        ("12:30!", "en", "en"),
        ("Будь ласка.", "uk", "uk"),
    ],
)
def test_a_text_that_a_voice_would_spell_is_for_the_voice_that_can_read_it(
    text: str, language: str, voice: str
) -> None:
    assert readable_in(text, language, ("en", "ar", "ru")) == voice
    assert readable_in(text, language, (language,)) == language


def test_arrows_and_trade_marks_are_not_read_out() -> None:
    assert texts("Book → pay ⇒ PearlWhite™ is yours®.") == ["Book – pay – PearlWhite is yours ."]


def test_abbreviations_initials_and_numbers_do_not_end_a_sentence() -> None:
    for text in ("Dr. Smith is here.", "J. R. Tolkien.", "It costs 3.50 today.", "На ул. Мира."):
        assert texts(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "We are open from 9 a.m. Monday to 6 p.m. Friday.",
        "Come to No. 5 on Dec. 3 at ten.",
        "It is Dhs. 150 at P.O. Box 5.",
        "Это каб. 5 или оф. 12, доб. 3.",
        "Мы в г. Москва, ул. Садовая, д. 5.",
        "عندنا د. سامي يوم الأحد.",
    ],
)
def test_time_address_or_title_is_not_cut(text: str) -> None:
    assert texts(text) == [text]


def test_a_long_sentence_is_cut_at_clauses_with_a_shorter_pause() -> None:
    text = ("we open at nine, " * 12).strip(" ,") + "."
    pieces = split_speakable(text)
    assert " ".join(piece.text for piece in pieces) == text
    assert {piece.pause_s for piece in pieces[:-1]} == {CLAUSE_PAUSE_S}
    assert pieces[-1].pause_s == SENTENCE_PAUSE_S
    assert all(piece.text.endswith(",") for piece in pieces[:-1])


def test_text_without_punctuation_is_cut_between_words() -> None:
    pieces = texts("word " * 100)
    assert max(map(len, pieces)) <= MOST_CHARS
    assert " ".join(pieces) == ("word " * 100).strip()


def test_loud_peaks_are_bent_and_never_clip() -> None:
    ramp = np.linspace(-4, 4, 801, dtype=np.float32)
    limited = to_int16(ramp, 1.0).astype(int)
    assert np.abs(limited).max() <= 32767
    assert (np.diff(limited) >= 0).all()
    below = np.abs(ramp) <= KNEE
    np.testing.assert_allclose(limited[below], ramp[below] * 32767, atol=1)


def test_the_level_ignores_pauses() -> None:
    tone = np.rint(8000 * np.sin(np.arange(SAMPLE_RATE) * 0.3)).astype(np.int16)
    padded = np.pad(tone, (0, 3 * SAMPLE_RATE))
    assert active_rms(padded) == pytest.approx(active_rms(tone), rel=0.01)
    assert 20 * np.log10(active_rms(tone) * gain_to(-20.0, active_rms(tone))) == pytest.approx(-20)
    assert active_rms(np.zeros(SAMPLE_RATE, np.int16)) == 0.0
    assert gain_to(-20.0, 0.0) == 1.0


def test_silence_around_a_piece_becomes_a_fixed_pause() -> None:
    tone = np.rint(8000 * np.cos(np.arange(SAMPLE_RATE) * 0.3)).astype(np.int16)
    shaped = shape_piece(np.pad(tone, SAMPLE_RATE), 0.1)
    assert len(shaped) == SAMPLE_RATE + round((0.02 + 0.04 + 0.1) * SAMPLE_RATE)
    abrupt = shape_piece(tone, 0.1)
    assert abrupt[0] == 0 and not abrupt[-1600:].any()
    assert np.abs(np.diff(abrupt.astype(int))).max() <= np.abs(np.diff(tone.astype(int))).max() + 1
    assert len(shape_piece(np.zeros(100, np.int16), 0.1)) == 0
    assert len(shape_piece(np.full(5, 9000, np.int16), 0.0)) == 5

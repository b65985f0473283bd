"""Where the words of the starter voices end, against the audio itself."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest

from gateway.audio.pcm import FRAME_SAMPLES, SAMPLE_RATE
from gateway.conversation.playout import PlayoutLedger
from gateway.engines.base import Speech, Word
from gateway.engines.piper_durations import _fields, _message, _varint, declare_durations
from gateway.engines.piper_matching import Spoken
from gateway.engines.piper_shape import SOUND
from gateway.engines.piper_words import (
    Written,
    in_writing,
    spoken_words,
    words_by_letters,
    words_by_phonemes,
    words_read_out,
)
from tests.engines.test_piper import TEXTS, VOICES, speak_words

SENTENCES = [
    *TEXTS.items(),
    ("en", "Well, I have twenty minutes, at nine."),
    ("en", "Please — **one** of the best & 25 😀 of Dr. Smith's, at 9:30 on the 2nd!"),
    ("ar", "مرحبا بكم، نعمل من التاسعة إلى الخامسة، 12 يوما."),
    ("ar", "مَرْحَبًا بِكُمْ فِي العِيَادَة."),
    ("ru", "Здравствуйте, я вам помогу. В 2024 году - в 9:30!"),
    ("ru", "*** Да... 😀"),
    ("en", "x" * 450 + " end"),
    ("en", "It is $5.99 at 9:00 AM - 6:00 PM, Dr. Lee, or call +971 4 555 1234."),
    ("ar", "السعر 250 د.إ. من ٩:٣٠ ص إلى 6 م."),
    ("ru", "Это 1 500 ₽, г. Москва, д. 5, 5 декабря в 10 ч. 30 мин."),
]


def last_sound(speech: Speech) -> int:
    return int(np.flatnonzero(np.abs(speech.samples.astype(int)) > SOUND)[-1])


@pytest.mark.parametrize(("language", "text"), SENTENCES)
def test_every_word_is_spoken_once_in_order_within_its_audio(language: str, text: str) -> None:
    spoken = speak_words(text, language)
    assert [word.text for speech in spoken for word in speech.words] == text.split()
    for speech in spoken:
        ends = [0, *(word.end for word in speech.words), len(speech.samples)]
        assert ends == sorted(ends)


@pytest.mark.parametrize(("language", "text"), SENTENCES[:8])
def test_the_last_word_ends_with_the_speech(language: str, text: str) -> None:
    for speech in speak_words(text, language):
        assert abs(speech.words[-1].end - last_sound(speech)) <= 0.08 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("language", "text"), [item for item in SENTENCES if set(",،") & set(item[1])]
)
def test_the_pause_after_a_comma_lies_between_two_words(language: str, text: str) -> None:
    for speech in speak_words(text, language):
        for word, following in pairwise(speech.words):
            if word.text.endswith((",", "،")):
                pause = longest_pause(speech, word.end - 1600, following.end)
                middle = sum(pause) // 2
                assert word.end - 800 <= middle <= following.end
                assert word.end <= pause[1]


def longest_pause(speech: Speech, start: int, end: int) -> tuple[int, int]:
    """The quietest stretch of 40 ms between two samples."""
    power = np.convolve(speech.samples[start:end].astype(float) ** 2, np.ones(640), "valid")
    quietest = start + int(power.argmin())
    return quietest, quietest + 640


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_words_spread_by_letters_end_with_the_speech(language: str, text: str) -> None:
    for speech in speak_words(text, language):
        written = " ".join(word.text for word in speech.words)
        by_letters = words_by_letters(written, speech.samples)
        assert [word.text for word in by_letters] == written.split()
        assert abs(by_letters[-1].end - last_sound(speech)) <= FRAME_SAMPLES
        for near, exact in zip(by_letters, speech.words, strict=True):
            assert abs(near.end - exact.end) < 0.5 * SAMPLE_RATE


def said(*phonemes: int, pauses: tuple[int, ...] = ()) -> list[Spoken]:
    """Spoken words of some numbers of phonemes, 100 samples each, without gaps."""
    ends = list(accumulate(phonemes))
    return [
        Spoken((end - count) * 100, end * 100, count, index in pauses)
        for index, (count, end) in enumerate(zip(phonemes, ends, strict=True))
    ]


PHONEMES = {"_": [0], "^": [1], "$": [2], " ": [3], "a": [4], ",": [5], "ˈ": [6], "b": [7]}


def spoken_of(phonemes: str) -> list[Spoken]:
    """The words of these phonemes of 100 samples each; "?" is one that no symbol stands for."""
    ids = [PHONEMES.get(phoneme, [99])[0] for phoneme in phonemes]
    return spoken_words(ids, np.full(len(ids), 100), PHONEMES)


def test_words_are_the_sounds_between_pauses_and_marks_count_as_none() -> None:
    assert spoken_of("^_ˈ_a_b_ _?_,_$") == [Spoken(200, 800, 2), Spoken(1000, 1200, 1, pause=True)]


def test_punctuation_before_the_first_word_belongs_to_none() -> None:
    assert spoken_of("^_,_ _a_$") == [Spoken(600, 800, 1)]
    assert spoken_of("^_,_$") == []


def test_a_number_takes_all_the_words_it_is_read_out_as() -> None:
    words = words_by_phonemes("call 555 now", said(3, 4, 4, 4, 3))
    assert [word.end for word in words] == [300, 1500, 1800]


def test_words_spoken_as_one_share_its_time_by_their_letters() -> None:
    words = words_by_phonemes("one of the best", said(3, 5, 4))
    assert [word.end for word in words] == [300, 500, 800, 1200]


def test_what_is_not_spoken_ends_with_its_neighbour() -> None:
    words = words_by_phonemes("- yes - no", said(3, 2))
    assert [word.end for word in words] == [300, 300, 300, 500]


def test_words_that_cannot_be_matched_share_the_time_by_their_letters() -> None:
    words = words_by_phonemes("a b c d e f", said(12))
    assert [word.end for word in words] == [200, 400, 600, 800, 1000, 1200]


def test_text_without_a_sound_takes_no_time() -> None:
    noise = np.full(1600, 1000, dtype=np.int16)
    assert words_by_letters("… –", noise) == (Word("…", 0), Word("–", 0))
    assert words_by_letters("", noise) == ()


def test_words_behind_the_last_one_that_the_voice_was_given_end_with_it() -> None:
    written = [Written("yes", 3), Written("no", 5)]
    assert in_writing(written, (Word("yes", 900),)) == (Word("yes", 900), Word("no", 900))


def test_a_word_ends_with_the_last_word_that_it_is_read_out_as() -> None:
    read = "call 9 7 1, 4, 5 5 or 4 5 at noon".split()
    spoken = tuple(Word(word, 100 * count) for count, word in enumerate(read, 1))
    words = words_read_out("call 971 4 55 or 45 at 12 noon", spoken)
    ends = {word.text: word.end for word in words}
    assert ends == {
        **{"call": 100, "971": 300, "4": 500, "55": 700},
        **{"or": 800, "45": 1000, "at": 1100, "12": 1100, "noon": 1200},
    }
    assert words_read_out("5 now", (Word("now", 900),)) == (Word("5", 900), Word("now", 900))


def test_a_model_tells_its_durations_once() -> None:
    model = (VOICES / "ru.onnx").read_bytes()
    declared = declare_durations(model)
    assert declared is not None
    assert declared.startswith(model)
    assert declare_durations(declared) is None


def test_fields_of_every_kind_are_read_or_passed_over() -> None:
    number, eight, four = b"\x08\xac\x02", b"\x11" + bytes(8), b"\x1d" + bytes(4)
    for length in (0, 127, 128, 300, 20_000):
        content = b"\x07" * length
        message = number + eight + _message(7, content) + four + _message(30, b"x")
        assert [(field, bytes(part)) for field, part in _fields(memoryview(message))] == [
            (7, content),
            (30, b"x"),
        ]


def test_a_number_without_an_end_is_not_read_to_the_end_of_the_file() -> None:
    with pytest.raises(ValueError, match="at most ten bytes"):
        _varint(memoryview(b"\xff" * 100), 0)


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x0f", b"\xff" * 20]
)
def test_what_is_no_model_has_no_durations(content: bytes) -> None:
    assert declare_durations(content) is None


@pytest.mark.parametrize(("language", "text"), SENTENCES)
def test_a_cut_anywhere_leaves_the_beginning_of_the_text(language: str, text: str) -> None:
    ledger = PlayoutLedger()
    total = 0
    for speech in speak_words(text, language):
        ends = tuple((word.text, word.end) for word in speech.words)
        ledger.queued(ends, len(speech.samples))
        total += len(speech.samples)
    ledger.sent(total, now=0.0)
    words = text.split()
    counts = []
    for played in range(0, total, 1600):
        heard = ledger.heard_text(played / SAMPLE_RATE).split()
        assert heard == words[: len(heard)]
        counts.append(len(heard))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert ledger.heard_text(total / SAMPLE_RATE).split() == words

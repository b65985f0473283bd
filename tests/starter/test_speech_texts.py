"""What is spoken in the recogniser's training speech, and how it is counted afterwards."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.starter import corpus
from scripts.starter.corpus import LANGS, calls
from scripts.starter.stt import text as texts_of_speech
from scripts.starter.stt.evaluate import Heard, digits_of, edits, normalise
from scripts.starter.stt.text import (
    LONGEST,
    Evenly,
    Sentences,
    Source,
    clean,
    further,
    general,
    is_held_out,
    phone,
    pieced,
    unseen_wordings,
    wide,
    word_mix,
)
from scripts.starter.stt.vocabulary import Vocabulary, choose_pieces, genuine

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lang", LANGS)
def test_no_sentence_of_the_training_is_kept_for_the_test(lang: str) -> None:
    training = Sentences(random.Random(1)).draw(lang, 1500)
    test = Sentences(random.Random(1)).draw(lang, 60, heldout=True)
    assert not any(is_held_out(said.text) for said in training)
    assert all(is_held_out(said.text) for said in test)
    assert len({said.text for said in test}) == 60


def test_a_sentence_of_the_test_is_not_trained_on_beside_another_either() -> None:
    kept = "Please call my pilot today."
    assert is_held_out(kept)
    drawn = Sentences(random.Random(1), [(lambda *_: f"Hello. {kept} Bye.", 0.5), (wide, 0.5)])
    assert not any(kept in said.text for said in drawn.draw("en", 100))
    free = Sentences(random.Random(1), [(lambda *_: "Hello. Call.", 0.5), (wide, 0.5)])
    assert any(said.text == "Hello. Call." for said in free.draw("en", 100))


@pytest.mark.parametrize("lang", LANGS)
def test_wordings_for_the_test_are_never_trained_on_whatever_template_makes_them(lang: str) -> None:
    wordings = unseen_wordings(lang)
    assert len(set(wordings)) == len(wordings) >= 38
    assert all(is_held_out(text) and clean(lang, text) == text for text in wordings)
    drawn = Sentences(random.Random(1), [(lambda *_: wordings[0], 0.5), (wide, 0.5)])
    assert wordings[0] not in {said.text for said in drawn.draw(lang, 50)}


def test_a_fifth_of_the_training_is_wide_sentences_and_nothing_of_the_usual_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = ["Marked (a|b|c|d|e|f|g|h) (i|j|k|l|m|n|o)."]
    monkeypatch.setattr(texts_of_speech, "_wide", lambda _: marks)
    monkeypatch.setattr(texts_of_speech, "further", lambda *_: "Are you open?")  # sooner drawn

    def marked(training: bool) -> int:
        drawn = Sentences(random.Random(3), training=training).draw("en", 600)
        return sum(said.text.startswith("Marked") for said in drawn)

    assert 90 < marked(training=True) < 190
    assert marked(training=False) == 0


@pytest.mark.parametrize("lang", LANGS)
def test_the_training_hears_what_the_chat_model_is_asked_in_further_wordings(
    lang: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = calls._further

    def marked(lang: str, intent: str, given: frozenset[str]) -> tuple[list[str], list[str]]:
        marks = intent in ("services", "price", "has")
        return ([], ["Zwok."]) if marks else found(lang, intent, given)

    monkeypatch.setattr(calls, "_further", marked)
    rng = random.Random(5)
    assert 20 < sum("zwok" in further(lang, rng).lower() for _ in range(300)) < 200
    assert not any("zwok" in corpus.caller_utterance(lang, rng).lower() for _ in range(300))


@pytest.mark.parametrize("lang", LANGS)
def test_wide_sentences_hold_thousands_of_words(lang: str) -> None:
    rng = random.Random(8)
    said = [wide(lang, rng) for _ in range(4000)]
    words = {word for text in said for word in normalise(text)}
    assert len(words) > 3000
    assert sum(clean(lang, text) == text for text in said) > 0.99 * len(said)


@pytest.mark.parametrize("lang", LANGS)
def test_sentences_hold_only_what_the_recogniser_writes(lang: str) -> None:
    for text in (said.text for said in Sentences(random.Random(2)).draw(lang, 800)):
        assert clean(lang, text) == text
        assert 0 < len(text) <= LONGEST
        assert not re.search(r"[0-9<>(){}|]", text)


@pytest.mark.parametrize(
    ("lang", "text", "expected"),
    [
        ("en", "It’s  fine.", "It's fine."),
        ("en", "Call 555.", None),
        ("en", "Звоните.", None),
        ("ar", "مَرْحَبًا", "مرحبا"),
        ("ru", "Да — конечно.", "Да, конечно."),
        ("en", "", None),
    ],
)
def test_a_text_is_cleaned_or_refused(lang: str, text: str, expected: str | None) -> None:
    assert clean(lang, text) == expected


@pytest.mark.parametrize("lang", LANGS)
def test_freely_combined_words_are_hardly_ever_the_same_twice(lang: str) -> None:
    rng = random.Random(3)
    said = [pieced(lang, rng) for _ in range(500)]
    assert len(set(said)) > 480
    assert all(2 <= len(text.split()) <= 12 for text in said)


def test_words_that_few_sentences_hold_are_drawn_as_often_as_the_common_ones() -> None:
    rare = ["umbrella", "passport", "receipt"]

    def source(_: str, rng: random.Random) -> str:
        common = rng.choices([None, *rare], [300, 1, 1, 1])[0]
        return f"Bring the {common}." if common else f"Number {rng.choice('abcdefgh')}."

    rng = random.Random(9)
    evenly = Evenly(source, size=5000)

    def least(draw: Source) -> int:
        said = [draw("en", rng) for _ in range(900)]
        return min(sum(word in text for text in said) for word in rare)

    assert least(source) < 10
    assert least(evenly.sentence) > 50
    assert least(evenly.pieces) > 50


def test_no_word_is_left_to_chance_when_words_are_drawn_evenly() -> None:
    words = [first + second for first in "bcdfghklmn" for second in "aeiouy"]
    rng = random.Random(12)
    evenly = Evenly(lambda _, rng: f"Bring the {rng.choice(words)}.", size=1000)
    said = [evenly.sentence("en", rng).split()[-1].strip(".") for _ in range(4 * len(words))]
    counts = [said.count(word) for word in words]
    assert min(counts) >= 3, "with words drawn by chance alone, one in fifty would not come up"


@pytest.mark.parametrize("lang", LANGS)
def test_evenly_drawn_sentences_are_none_of_the_test(lang: str) -> None:
    rng = random.Random(10)
    evenly = Evenly(general, size=2000)
    assert not any(is_held_out(evenly.sentence(lang, rng)) for _ in range(300))


def test_one_seed_gives_the_same_words_evenly_in_every_process() -> None:
    program = """
import random
from scripts.starter.stt.text import Evenly, general
rng, evenly = random.Random(1), Evenly(general, size=300)
print([evenly.sentence("en", rng) for _ in range(20)])
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_invented_names_do_not_count_as_words_that_are_rare() -> None:
    def source(_: str, rng: random.Random) -> str:
        name = "".join(rng.choices("abcdefgh", k=9))
        return f"Hello, {name}." if rng.random() < 0.1 else rng.choice(["Yes.", "No."])

    rng = random.Random(11)
    evenly = Evenly(source, size=1000)
    named = sum("Hello" in evenly.sentence("en", rng) for _ in range(300))
    assert named < 150, "a third, for the word itself; nearly all if each name were a word"


def test_words_without_grammar_are_marked_so_that_they_are_counted_apart() -> None:
    for source, free in ((pieced, True), (word_mix, True), (general, False)):
        said = Sentences(random.Random(7), [(source, 1.0)]).draw("en", 20)
        assert [sentence.free for sentence in said] == [free] * 20


@pytest.mark.parametrize("lang", LANGS)
def test_a_number_sentence_spells_seven_to_eleven_digits(lang: str) -> None:
    rng = random.Random(4)
    assert all(7 <= len(digits_of(normalise(phone(lang, rng)))) <= 11 for _ in range(200))


def test_pieces_spell_every_text_in_tokens_of_the_genuine_vocabulary() -> None:
    whisper, rng = genuine(), random.Random(5)
    texts = [said.text for lang in LANGS for said in Sentences(rng).draw(lang, 300)]
    pieces = choose_pieces(whisper, texts, threshold=40)
    vocabulary = Vocabulary(whisper, pieces)
    spelled = {vocabulary.rows.index(number): piece for piece, number in pieces.items()}
    for text in texts:
        tokens = vocabulary.encode(text)
        assert tokens is not None
        assert b"".join(spelled[token] for token in tokens).decode() == " " + text


def test_a_character_that_no_piece_spells_is_told() -> None:
    vocabulary = Vocabulary(genuine(), choose_pieces(genuine(), ["hello there"], threshold=1))
    assert vocabulary.encode("hello") is not None
    assert vocabulary.encode("привет") is None


def test_word_errors_are_substitutions_insertions_and_deletions() -> None:
    said = normalise("Hello, it's Anna — come in!")
    assert said == ["hello", "it's", "anna", "come", "in"]
    assert edits(said, said) == 0
    assert edits(said, ["hello", "anna", "came", "in", "now"]) == 3
    assert edits([], ["a"]) == 1
    assert normalise("Ещё") == ["еще"]


def test_improbable_words_in_what_sounds_like_silence_are_nothing_as_whisper_counts() -> None:
    assert Heard("لا", "en", no_speech=0.95, logprob=-7.9).is_nothing
    assert Heard(".", "en", no_speech=0.1, logprob=-0.1).is_nothing
    assert not Heard("Hello.", "en", no_speech=0.95, logprob=-0.2).is_nothing
    assert not Heard("Hello.", "en", no_speech=0.1, logprob=-7.9).is_nothing

from __future__ import annotations

import pytest

from gateway.audio.pcm import SAMPLE_RATE
from gateway.conversation.playout import PlayoutLedger
from tests.conversation.driver import spread


def test_nothing_is_heard_before_it_was_sent() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("one two", 16_000), 16_000)
    assert ledger.heard_text(5.0) == ""


def test_heard_is_what_was_sent_less_what_is_still_to_be_played() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("one two three four", 16_000), 16_000)
    ledger.sent(8000, now=10.0)
    ledger.sent(8000, now=10.0)
    assert ledger.heard_samples(10.25) == 4000
    assert ledger.heard_text(10.25) == "one"
    assert ledger.heard_text(10.94) == "one two three"
    assert ledger.heard_text(11.0) == "one two three four"


def test_audio_without_words_leaves_the_reply_empty() -> None:
    ledger = PlayoutLedger()
    ledger.queued((), 1600)
    assert ledger.empty
    ledger.queued(spread("one", 1600), 1600)
    assert not ledger.empty


def test_gap_in_playout_is_not_heard() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("one two", 16_000), 16_000)
    ledger.sent(8000, now=0.0)
    ledger.sent(8000, now=3.0)
    assert ledger.heard_samples(3.25) == 12_000


def test_pieces_before_the_cut_are_heard_whole() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("Hello there.", 8000), 8000)
    ledger.queued(spread("We open at nine.", 16_000), 16_000)
    ledger.sent(16_000, now=0.0)
    assert ledger.heard_text(1.0) == "Hello there. We open"


def test_a_word_counts_once_four_fifths_of_it_were_played() -> None:
    ledger = PlayoutLedger()
    ledger.queued((("Good", 1000), ("morning", 2000)), 2500)
    ledger.queued((("everyone", 1000),), 3000)
    ledger.sent(5500, now=0.0)
    heard = {
        samples: ledger.heard_text(samples / SAMPLE_RATE)
        for samples in (0, 799, 800, 1799, 1800, 3299, 3300)
    }
    assert heard == {
        0: "",
        799: "",
        800: "Good",
        1799: "Good",
        1800: "Good morning",
        3299: "Good morning",
        3300: "Good morning everyone",
    }


def test_words_played_lately_leave_out_those_before_and_those_to_come() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("one two three four", 16_000), 16_000)
    assert ledger.played(-100, 12_800) == "one two three"
    assert ledger.played(4000, 12_800) == "two three"
    assert ledger.played(8000, 8000) == ""


def test_words_that_end_together_are_heard_together() -> None:
    ledger = PlayoutLedger()
    ledger.queued((("-", 1000), ("yes", 1000), ("-", 1000), ("no", 2000)), 2000)
    assert ledger.heard_text(0.0) == ""
    ledger.sent(2000, now=0.0)
    assert ledger.heard_text(799 / SAMPLE_RATE) == ""
    assert ledger.heard_text(800 / SAMPLE_RATE) == "- yes -"


def test_end_is_known_once_everything_queued_was_sent() -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread("one", 1600), 1600)
    ledger.sent(800, now=1.0)
    ledger.complete = True
    assert ledger.plays_until is None
    ledger.sent(800, now=1.02)
    assert ledger.plays_until == pytest.approx(1.1)


@pytest.mark.parametrize(
    "reply",
    [
        "Would 6 p.m. Monday suit you?",
        "Is Dr. Smith fine?",
        "Вам удобно в г. Москва?",
        "Это ул. Садовая, д. 5?",
        "هل يناسبك د. سامي؟",
    ],
)
def test_sentence_that_is_being_spoken_goes_on_after_an_abbreviation(reply: str) -> None:
    ledger = PlayoutLedger()
    ledger.queued(spread(f"{reply} Thanks.", 16_000), 16_000)
    ledger.sent(16_000, now=0.0)
    assert ledger.speaking(0.0) == ledger.speaking(0.3) == reply
    assert ledger.speaking(1.0) == f"{reply} Thanks."

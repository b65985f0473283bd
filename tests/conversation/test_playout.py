from __future__ import annotations

import pytest

from gateway.conversation.playout import PlayoutLedger


def test_nothing_is_heard_before_it_was_sent() -> None:
    ledger = PlayoutLedger()
    ledger.queued("one two", 16_000)
    assert ledger.heard_text(5.0) == ""


def test_heard_is_what_was_sent_less_what_is_still_to_be_played() -> None:
    ledger = PlayoutLedger()
    ledger.queued("one two three four", 16_000)
    ledger.sent(8000, now=10.0)
    ledger.sent(8000, now=10.0)
    assert ledger.heard_samples(10.25) == 4000
    assert ledger.heard_text(10.25) == "one"
    assert ledger.heard_text(10.99) == "one two three"
    assert ledger.heard_text(11.0) == "one two three four"


def test_gap_in_playout_is_not_heard() -> None:
    ledger = PlayoutLedger()
    ledger.queued("one two", 16_000)
    ledger.sent(8000, now=0.0)
    ledger.sent(8000, now=3.0)
    assert ledger.heard_samples(3.25) == 12_000


def test_pieces_before_the_cut_are_heard_whole() -> None:
    ledger = PlayoutLedger()
    ledger.queued("Hello there.", 8000)
    ledger.queued("We open at nine.", 16_000)
    ledger.sent(16_000, now=0.0)
    assert ledger.heard_text(1.0) == "Hello there. We open"


def test_further_audio_of_the_same_words_stretches_them() -> None:
    ledger = PlayoutLedger()
    ledger.queued("one two", 8000)
    ledger.queued("", 8000)
    ledger.sent(16_000, now=0.0)
    assert ledger.heard_text(0.5) == "one"
    assert ledger.heard_text(1.0) == "one two"


def test_end_is_known_once_everything_queued_was_sent() -> None:
    ledger = PlayoutLedger()
    ledger.queued("one", 1600)
    ledger.sent(800, now=1.0)
    ledger.complete = True
    assert ledger.plays_until is None
    ledger.sent(800, now=1.02)
    assert ledger.plays_until == pytest.approx(1.1)

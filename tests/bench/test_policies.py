"""The bundled callers against the conversation policies, in virtual time, as bounds on a report.

Engines are perfect here, so what goes wrong is the policies' doing. A bound is what the policies
reach; one that gets better is tightened.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bench.turns_report import Report, turns_report
from gateway.simulator.scenario_file import load_scenarios
from tests.simulator.virtual_calls import play

MOST = {
    "false_cutoffs": 1,
    "missed_turns": 0,
    "missed_barge_ins": 0,
    "false_interruptions": 0,
    "false_turns": 0,
    "history_errors": 0,
    "language_errors": 0,
}
"""Most of each that may happen in one language's set."""


@pytest.fixture(scope="module", params=["en", "ar", "ru"])
def report(request: pytest.FixtureRequest) -> Report:
    """The figures of one language's set."""
    kept = request.config.cache
    assert kept is not None
    scenarios = load_scenarios(Path(f"tests/scenarios/{request.param}.toml"))
    return turns_report(play(scenarios, kept.mkdir("callers")))


def problems(report: Report, tag: str) -> list[tuple[str, int, str]]:
    """What went wrong in turns of one kind, for the message of a failing test."""
    return [
        (row["call"], row["turn"], problem)
        for row in report["rows"]
        if row["tag"] == tag
        for problem in row["problems"]
    ]


def test_every_call_is_played_to_its_end(report: Report) -> None:
    assert report["failed_calls"] == {}


@pytest.mark.parametrize("count", MOST)
def test_no_more_goes_wrong_than_did(report: Report, count: str) -> None:
    wrong = [(row["call"], row["turn"], row["problems"]) for row in report["rows"]]
    assert report[count] <= MOST[count], [row for row in wrong if row[2]]


def test_complete_utterances_are_answered_whole(report: Report) -> None:
    assert problems(report, "complete") == []


def test_complete_utterances_are_answered_soon(report: Report) -> None:
    assert report["by_tag"]["complete"]["p50"] <= 600
    assert report["by_tag"]["complete"]["p95"] <= 1400


def test_the_assistant_falls_silent_soon_when_interrupted(report: Report) -> None:
    assert report["barge_in_stop_ms"]["p50"] <= 150
    assert report["barge_in_stop_ms"]["max"] <= 900


def test_coughs_breath_clicks_and_tones_are_no_turns(report: Report) -> None:
    for tag in ("cough", "cough alone", "breath", "dtmf"):
        assert problems(report, tag) == []


def test_back_channels_do_not_interrupt(report: Report) -> None:
    assert problems(report, "back-channel") == []

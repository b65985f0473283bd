"""Calls in virtual time: always the same, and sane whatever the caller or the network does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from gateway.app import conversation_policy
from gateway.bench.turns_report import Report, turns_report
from gateway.receptionist.profile import load_profile
from gateway.settings import Settings
from gateway.simulator.scenario import Call, Turn
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.utterance import Utterance
from gateway.simulator.virtual import VirtualGateway
from gateway.simulator.virtual_time import run_virtually
from tests.simulator.virtual_calls import play_text

CALL = """
[[call]]
name = "x"
language = "en"
{options}
turn = [
    {{ say = "What are your opening hours?" }},
    {{ say = "Where are you located?" }},
    {{ say = "Thank you, goodbye." }},
]
"""


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Spoken words, kept from one run of the tests to the next."""
    kept = request.config.cache
    assert kept is not None
    return kept.mkdir("callers")


def test_virtual_time_is_counted_not_waited_for() -> None:
    async def sleep() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(10))
        return loop.time()

    began = time.monotonic()
    assert run_virtually(sleep()) == pytest.approx(3600)
    assert time.monotonic() - began < 60


def test_waiting_for_what_never_comes_is_an_error() -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="never happen"):
        run_virtually(wait())


def test_a_call_in_virtual_time_is_the_same_each_time(cache: Path) -> None:
    first, second = (turns_report(play_text(CALL.format(options=""), cache)) for _ in range(2))
    assert first["rows"] == second["rows"]
    assert first["turns"] == first["voice_to_voice_ms"]["n"] == 3


@pytest.mark.parametrize(
    "network",
    [
        "burst_ms = 500",
        "gap_ms = 300, every_ms = 3000",
    ],
)
def test_every_turn_is_answered_over_a_bad_network(cache: Path, network: str) -> None:
    report = turns_report(play_text(CALL.format(options=f"network = {{ {network} }}"), cache))
    assert report["failed_calls"] == {}
    assert report["missed_turns"] == 0


def drifting(turn: str, percent: int, cache: Path) -> Report:
    """Figures of a call whose caller's clock runs fast by so much."""
    network = f"network = {{ drift_percent = {percent} }}"
    text = f'[[call]]\nname = "x"\nlanguage = "en"\n{network}\nturn = [{turn}]'
    return turns_report(play_text(text, cache))


@pytest.mark.parametrize("percent", [1, -1, 5, -5])
def test_a_drifting_clock_changes_no_figure(cache: Path, percent: int) -> None:
    turns = '{ say = "Where are you located?" },' * 8
    even, drifted = drifting(turns, 0, cache), drifting(turns, percent, cache)
    # The gateway counts the silence after the words in samples, which pass so much faster.
    expected = [row["voice_to_voice_ms"] for row in even["rows"]]
    measured = [row["voice_to_voice_ms"] for row in drifted["rows"]]
    assert measured == pytest.approx(expected, rel=0.06)
    assert drifted["false_cutoffs"] == drifted["missed_turns"] == 0
    assert drifted["wer"] == {"en": 0.0}


def test_long_words_of_a_slow_clock_are_heard_from_their_beginning(cache: Path) -> None:
    sentence = '"I would like to book a filling on Friday and then a cleaning",'
    report = drifting(f"{{ say = [{sentence * 4}] }}", -5, cache)
    assert report["wer"] == {"en": 0.0}


def test_a_muted_client_is_greeted_and_never_understood(cache: Path) -> None:
    muted = CALL.format(options="network = { gap_ms = 2000, every_ms = 2000 }")
    (call,) = play_text(muted, cache)
    assert [outcome.caller_text for outcome in call.caller.outcomes] == ["", "", ""]
    assert call.caller.track.replies[0].text and call.caller.failure is None


def test_a_caller_who_never_stops_is_answered_once_it_does(cache: Path) -> None:
    sentence = '"I would like to book a filling on Friday and then a cleaning",'
    text = f'[[call]]\nname = "x"\nlanguage = "en"\nturn = [{{ say = [{sentence * 20}] }}]'
    (call,) = play_text(text, cache)
    (outcome,) = call.caller.outcomes
    assert outcome.speech_end_s - outcome.speech_start_s > 50
    assert not outcome.missed and not outcome.cutoffs


def test_a_caller_who_talks_over_everything_is_answered_every_time(cache: Path) -> None:
    turn = '{ kind = "interruption", say = "Wait, where are you located?", over_ms = 300 },'
    text = f'[[call]]\nname = "x"\nlanguage = "en"\nhint = "en"\nturn = [{turn * 6}]'
    report = turns_report(play_text(text, cache))
    assert report["failed_calls"] == {} and report["turns"] == 6
    assert report["missed_turns"] == report["missed_barge_ins"] == 0


def test_a_caller_says_nothing_more_to_a_gateway_that_ended_the_call(cache: Path) -> None:
    silent = '{ kind = "silence", wait_ms = 40000 }'
    text = '[[call]]\nname = "x"\nlanguage = "en"\nhint = "en"\nturn = [{turns}]'
    said = '{ say = "Where are you located?" }'
    report = turns_report(play_text(text.format(turns=f"{silent}, {said}"), cache))
    assert list(report["failed_calls"].values()) == ["the gateway ended the call"]
    assert (report["turns_not_played"], report["missed_turns"]) == (1, 0)
    report = turns_report(play_text(text.format(turns=silent), cache))
    assert report["failed_calls"] == {}


def test_a_hint_that_is_not_served_is_greeted_in_the_default_language() -> None:
    settings = Settings.model_construct(gateway_languages="en")
    policy = conversation_policy(settings, {"en": load_profile()["en"]})
    call = Call(name="x", language="en", hint="ar", turn=(Turn(kind="silence", wait_ms=0),))
    nothing = [Utterance(np.zeros(0, dtype=np.int16), ())]
    result = VirtualGateway(policy).play(Scenario(call, Path()), nothing)
    assert result.caller.failure is None


def test_a_recogniser_can_be_made_to_mishear(cache: Path) -> None:
    heard = play_text(CALL.format(options=""), cache, mishears=1.0)
    report = turns_report(heard)
    assert report["missed_turns"] == 0 and report["wer"]["en"] == 1.0
    assert all(row["understood"].endswith(".") for row in report["rows"])

"""Plays scenarios against a gateway in real time, several calls at once."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from gateway.bench.played_call import PlayedCall
from gateway.bench.task_group import first_failure
from gateway.calls.records import TurnRecord
from gateway.simulator.caller_line import CallerLine
from gateway.simulator.caller_voice import CallerVoices
from gateway.simulator.client import CallFailed, dial
from gateway.simulator.network import NetworkPath
from gateway.simulator.scenario import Call, Part, Turn
from gateway.simulator.scenario_caller import CallerPatience, ScenarioCaller
from gateway.simulator.scenario_file import Scenario, ScenarioError
from gateway.simulator.utterance import Utterance, render

_SETTLE_S = 0.5
"""The gateway's last records of a call come after the caller has hung up."""


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A scenario with its audio."""

    scenario: Scenario
    utterances: Sequence[Utterance]


class RecordLog:
    """Keeps the gateway's records of finished exchanges by call."""

    def __init__(self) -> None:
        self._records: dict[str, list[TurnRecord]] = {}

    def add(self, record: TurnRecord) -> None:
        """Take a record as the gateway makes it."""
        self._records.setdefault(record.call_id, []).append(record)

    def of_call(self, call_id: str) -> list[TurnRecord]:
        """Records of one call in order."""
        return self._records.get(call_id, [])


def select(scenarios: Sequence[Scenario], pattern: str | None, limit: int | None) -> list[Scenario]:
    """Calls whose name matches a pattern ("en-*", or a part of it), at most ``limit`` of them.

    Raises:
        ScenarioError: none is left.
    """
    if pattern is not None:
        glob = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
        scenarios = [s for s in scenarios if fnmatch.fnmatchcase(s.name, glob)]
    if not scenarios:
        raise ScenarioError(f"expected the name of a call in --filter, got {pattern!r}")
    return list(scenarios[:limit])


def in_languages(scenarios: Sequence[Scenario], languages: Sequence[str]) -> list[Scenario]:
    """The calls that are held in these languages alone.

    Raises:
        ScenarioError: none is left.
    """
    served = [s for s in scenarios if languages_of(s.call) <= set(languages)]
    if not served:
        raise ScenarioError(f"expected a call in the languages served ({','.join(languages)})")
    return served


def languages_of(call: Call) -> set[str]:
    """Every language that a caller speaks, announces, or wants to be answered in."""
    parts = [part for turn in call.turn for part in turn.parts]
    found = {
        call.language,
        call.hint,
        *(call.turn_language(turn) for turn in call.turn),
        *(turn.expect.reply_language for turn in call.turn),
        *(part.language for part in parts if isinstance(part, Part)),
    }
    return {language for language in found if language and language != "auto"}


def prepare(scenarios: Sequence[Scenario], voices: CallerVoices) -> list[PreparedCall]:
    """Speak what the callers say, and check every noise.

    Raises:
        VoiceError: a voice is missing.
        RecordingError: a file is no audio.
    """
    prepared = []
    for scenario in scenarios:
        CallerLine(scenario.call, scenario.folder)
        prepared.append(PreparedCall(scenario, render(scenario, voices)))
    return prepared


class TurnsBenchmark:
    """Places the calls of a set.

    Args:
        url: where the gateway answers.
        calls: how many at the same time.
        log: the gateway's records, if it is our own.
        on_call: told about each call as it ends.
        patience: how long the callers wait.
    """

    def __init__(
        self,
        url: str,
        calls: int,
        log: RecordLog | None = None,
        on_call: Callable[[PlayedCall], None] = lambda call: None,
        patience: CallerPatience | None = None,
    ) -> None:
        self._url = url
        self._places = asyncio.Semaphore(calls)
        self._log = log
        self._on_call = on_call
        self._patience = patience
        self._numbers = count(1)
        self._refusals: list[CallFailed] = []

    async def run(self, prepared: Sequence[PreparedCall], runs: int = 1) -> list[PlayedCall]:
        """Play every call, ``runs`` times over; a refused one counts as a call that broke off.

        Raises:
            CallFailed: not one call could be placed.
        """
        greetings = await self._measure_greetings(prepared)
        played: list[PlayedCall] = []
        for run in range(1, runs + 1):
            with first_failure():
                async with asyncio.TaskGroup() as tasks:
                    going = [
                        tasks.create_task(self._play(p, greetings, run)) for p in longest(prepared)
                    ]
            played += [task.result() for task in going]
            if played and len(self._refusals) == len(played):
                raise self._refusals[0]
        return played

    async def _play(
        self, prepared: PreparedCall, greetings: Mapping[str, float], run: int
    ) -> PlayedCall:
        scenario = prepared.scenario
        async with self._places:
            caller = ScenarioCaller(
                scenario,
                prepared.utterances,
                CallerLine(scenario.call, scenario.folder),
                greetings.get(scenario.call.hint),
                self._patience,
            )
            call_id = f"bench-{next(self._numbers)}"
            path = NetworkPath(scenario.call.network)
            try:
                await dial(self._url, caller, call_id, scenario.call.hint, path)
            except CallFailed as error:
                self._refusals.append(error)
                caller.give_up(str(error))
        if self._log is not None:
            await asyncio.sleep(_SETTLE_S)
        records = self._log.of_call(call_id) if self._log is not None else None
        call = PlayedCall(caller, records, run)
        self._on_call(call)
        return call

    async def _measure_greetings(self, prepared: Sequence[PreparedCall]) -> dict[str, float]:
        """Length of the greeting for every hint whose calls speak just before it ends.

        Raises:
            CallFailed: a greeting could not be listened to; no call is lost by then.
        """
        hints = {
            p.scenario.call.hint
            for p in prepared
            if any(turn.before_end_ms is not None for turn in p.scenario.call.turn)
        }
        lengths: dict[str, float] = {}
        for hint in sorted(hints):
            listen = Turn(kind="silence", wait_ms=0)
            call = Call(name=f"greeting-{hint}", language="en", hint=hint, turn=(listen,))
            nothing = [Utterance(np.zeros(0, dtype=np.int16), ())]
            greeted = await self._play(PreparedCall(Scenario(call, Path()), nothing), {}, 0)
            if self._refusals:
                raise self._refusals[0]
            if failure := greeted.caller.failure:
                raise CallFailed(f"the call that measures the greeting broke off: {failure}")
            if greeting := greeted.caller.track.last:
                lengths[hint] = greeting.sent_s
        return lengths


def longest(prepared: Sequence[PreparedCall]) -> list[PreparedCall]:
    """The calls with most turns first, so that none is left running alone at the end."""
    return sorted(prepared, key=lambda p: -len(p.scenario.call.turn))

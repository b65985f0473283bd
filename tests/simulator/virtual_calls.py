"""Calls in virtual time with the default policy, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.app import conversation_policy
from gateway.bench.played_call import PlayedCall
from gateway.bench.turns import prepare
from gateway.conversation.policy import Policy
from gateway.loading import voice_detectors
from gateway.model_paths import ModelPaths
from gateway.receptionist.profile import load_profile
from gateway.settings import Settings
from gateway.simulator.caller_voice import CallerVoices
from gateway.simulator.scenario_file import Scenario, parse_scenarios
from gateway.simulator.virtual import VirtualGateway


def default_policy() -> Policy:
    """The policy of a gateway with default settings, whatever the environment says."""
    return conversation_policy(Settings.model_construct(), load_profile())


def play(
    scenarios: Sequence[Scenario], cache: Path | None = None, mishears: float = 0.0
) -> list[PlayedCall]:
    """Play calls, spoken with the starter voices, with the voice detection of a real gateway."""
    prepared = prepare(scenarios, CallerVoices(ModelPaths(Path("models")), cache))
    gateway = VirtualGateway(default_policy(), voice_detector=voice_detectors(), mishears=mishears)
    results = [gateway.play(call.scenario, call.utterances) for call in prepared]
    return [PlayedCall(result.caller, result.records) for result in results]


def play_text(text: str, cache: Path | None = None, mishears: float = 0.0) -> list[PlayedCall]:
    """Play the calls of a scenario text."""
    return play(parse_scenarios(text, Path("text.toml")), cache, mishears)

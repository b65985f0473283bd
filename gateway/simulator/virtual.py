"""Plays a scenario against the conversation core in virtual time, with engines that know the words.

The call is real from the session inwards: voice detection on the scenario's audio, every policy,
the player's pacing. Only the models, the socket and the clock are stood in for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.audio.pcm import FRAME_MS, Samples
from gateway.audio.vad import WebRtcVad
from gateway.calls.records import TurnRecord
from gateway.calls.session import CallServices, CallSession
from gateway.conversation.policy import Policy
from gateway.conversation.segmenter import VoiceDetector
from gateway.events import AudioReceived, CallEnded, CallStarted
from gateway.protocols.base import Role
from gateway.simulator.caller_line import CallerLine
from gateway.simulator.fake_engines import (
    EngineTimes,
    FixedChat,
    HummingVoice,
    KnowingTranscriber,
)
from gateway.simulator.network import NetworkPath
from gateway.simulator.scenario_caller import CallerPatience, ScenarioCaller
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.utterance import Utterance
from gateway.simulator.virtual_time import run_virtually

_FRAME_S = FRAME_MS / 1000


@dataclass(frozen=True, slots=True)
class VirtualResult:
    """One call: the caller's side of it, and the gateway's records in order."""

    caller: ScenarioCaller
    records: tuple[TurnRecord, ...]


@dataclass(slots=True)
class _Wire:
    """Takes audio and transcripts to the caller without delay."""

    caller: ScenarioCaller
    clock: Callable[[], float]
    max_lead_s: float = 0.1
    wants_partials: bool = False

    def send_audio(self, samples: Samples) -> None:
        """The assistant's audio arrives."""
        self.caller.hear(samples, self.clock())

    def drop_audio(self) -> None:
        """Nothing waits."""

    def send_transcript(self, role: Role, text: str, utterance: int) -> None:
        """Finished words arrive."""
        self.caller.read(role, text)

    def send_partial(self, text: str, utterance: int, language: str) -> None:
        """Not asked for."""


@dataclass(slots=True)
class VirtualGateway:
    """What virtual calls share.

    Attributes:
        times: how long the engines take.
        voice_detector: makes the voice detector of a call.
        mishears: share of words that the recogniser gets wrong.
        counters: what the calls counted, speculation for one.
    """

    policy: Policy
    times: EngineTimes = field(default_factory=EngineTimes)
    voice_detector: Callable[[], VoiceDetector] = WebRtcVad
    mishears: float = 0.0
    patience: CallerPatience = field(default_factory=CallerPatience)
    counters: Counter[str] = field(default_factory=Counter)

    def play(self, scenario: Scenario, utterances: Sequence[Utterance]) -> VirtualResult:
        """Play one call to its end."""
        return run_virtually(self._play(scenario, utterances))

    async def _play(self, scenario: Scenario, utterances: Sequence[Utterance]) -> VirtualResult:
        clock = asyncio.get_running_loop().time
        greeting = self.policy.phrases_in(scenario.call.hint).greeting
        caller = ScenarioCaller(
            scenario,
            utterances,
            CallerLine(scenario.call, scenario.folder),
            len(greeting) * self.times.char,
            self.patience,
        )
        records: list[TurnRecord] = []
        services = CallServices(
            transcriber=KnowingTranscriber(caller, clock, self.times, self.mishears),
            chat=FixedChat(self.times),
            synthesizer=HummingVoice(self.times),
            system_prompt="",
            policy=self.policy,
            voice_detector=self.voice_detector,
            max_tokens=100,
            temperature=0.0,
            on_turn=records.append,
            counters=self.counters,
            clock=clock,
        )
        session = CallSession(scenario.name, _Wire(caller, clock), services)
        hint = scenario.call.hint
        session.deliver(CallStarted(None if hint == "auto" else hint))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            await _speak(caller, session, running, NetworkPath(scenario.call.network), clock)
            session.deliver(CallEnded("closed"))
        return VirtualResult(caller, tuple(records))


async def _speak(
    caller: ScenarioCaller,
    session: CallSession,
    running: asyncio.Task[None],
    path: NetworkPath,
    clock: Callable[[], float],
) -> None:
    """Deliver the caller's line as the network would, until either side hangs up."""
    start, frames = clock(), 0
    while True:
        frames += 1
        await asyncio.sleep(max(0.0, start + frames * _FRAME_S * path.pace - clock()))
        if running.done():
            caller.give_up(None if caller.said_everything else "the gateway ended the call")
        frame = caller.next_frame(clock())
        if frame is None:
            return
        for samples in path.push(frame):
            session.deliver(AudioReceived(samples))

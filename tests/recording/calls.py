"""A noisy call in virtual time, recorded: synthesised speech in noise and a real session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gateway.audio.pcm import FRAME_SAMPLES, Samples
from gateway.audio.vad import WebRtcVad
from gateway.calls.session import CallServices, CallSession
from gateway.conversation.policy import PatiencePolicy, Phrases, Policy
from gateway.events import AudioReceived, CallEnded, CallStarted
from gateway.recording.tape import Recorder
from gateway.simulator.fake_engines import EngineTimes, HummingVoice
from gateway.simulator.recording import load_recording
from tests.calls.fakes import FakeChat, FakeTranscriber, RecordingTransport
from tests.virtual_time import VirtualTimeLoop, run

POLICY = Policy(
    "en",
    {"en": Phrases("Hello, how can I help you?", "Sorry.", "Are you still there?", "Goodbye.")},
    patience=PatiencePolicy(idle_ms=6000, acknowledge_ms=0),
)
REPLY = "We are open from nine to six. Please come by."
VOICE_FOLDER = Path(__file__).parents[2] / "gateway" / "simulator" / "recordings"


def noisy_line(turns: int, seed: int = 7) -> Samples:
    """What the caller says, pauses of four seconds between, all of it in noise."""
    names = ("en-1-hours", "en-2-price", "en-3-address", "en-4-goodbye")
    parts: list[Samples] = [np.zeros(16_000 * 4, dtype=np.int16)]
    for turn in range(turns):
        said = load_recording(VOICE_FOLDER / f"{names[turn % len(names)]}.wav").samples
        parts += [said, np.zeros(16_000 * 4, dtype=np.int16)]
    line = np.concatenate(parts)
    noise = np.random.default_rng(seed).normal(0, 120, len(line))
    noisy: Samples = np.clip(line + noise, -32768, 32767).astype(np.int16)
    return noisy[: len(noisy) // FRAME_SAMPLES * FRAME_SAMPLES]


def play(
    recorder: Recorder | None, line: Samples, *, hang_up: bool = True, policy: Policy = POLICY
) -> RecordingTransport:
    """One call: the line in frames of 20 ms, then the caller hangs up or the call is killed."""

    async def main(loop: VirtualTimeLoop) -> RecordingTransport:
        transport = RecordingTransport(loop.time)
        session = CallSession("desk/7 +44", transport, _services(recorder, loop.time, policy))
        task = loop.create_task(session.run())
        session.deliver(CallStarted("en"))
        for frame in line.reshape(-1, FRAME_SAMPLES):
            await asyncio.sleep(0.02)
            session.deliver(AudioReceived(frame))
        if hang_up:
            session.deliver(CallEnded("closed"))
        else:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return transport

    return run(main)


def _services(
    recorder: Recorder | None, clock: Callable[[], float], policy: Policy
) -> CallServices:
    return CallServices(
        transcriber=FakeTranscriber(*["When do you open?"] * 100),
        chat=FakeChat(REPLY),
        synthesizer=HummingVoice(EngineTimes()),
        system_prompt="",
        policy=policy,
        voice_detector=WebRtcVad,
        max_tokens=50,
        temperature=0.0,
        recorder=recorder,
        clock=lambda: 1000.1 + clock(),  # a monotonic clock begins anywhere
    )

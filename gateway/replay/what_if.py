"""Holds a recorded call again, in virtual time, under another policy.

The session is the real one: player, pacing, speculation. The caller's line is the recorded one, at
its recorded times; the engines give what they gave. What this cannot know: how the caller would
have reacted, what the recogniser would have heard in audio that was cut elsewhere, what the model
would have answered to other words, and where the assistant's echo would have been on the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.audio.pcm import Samples
from gateway.calls.session import CallServices, CallSession
from gateway.conversation.policy import Policy
from gateway.conversation.segmenter import VoiceDetector
from gateway.events import CallEnded, EdgeEvent
from gateway.protocols.base import Role
from gateway.recording.codec import Recording
from gateway.recording.steps import RecordedStep, Step, as_recorded
from gateway.replay.engines import RecordedChat, RecordedTranscriber, RecordedVoice
from gateway.replay.material import Transcripts, spoken_replies
from gateway.simulator.virtual_time import run_virtually

_LATER_S = 2.0
"""How much later than it did a call may hang up by itself, under another policy."""


class _MemoryTape:
    """Records into a list; gives itself to the one call there is."""

    def __init__(self) -> None:
        self.steps: list[RecordedStep] = []

    def tape(self, call_id: str, policy: Policy) -> _MemoryTape:
        return self

    def add(self, step: Step) -> None:
        self.steps.append(as_recorded(step))

    def close(self) -> None:
        """Nothing to write."""


class _Nowhere:
    """A far end that nobody listens to."""

    max_lead_s = 0.1
    wants_partials = False

    def send_audio(self, samples: Samples) -> None:
        """Dropped."""

    def drop_audio(self) -> None:
        """Nothing waits."""

    def send_transcript(self, role: Role, text: str, utterance: int) -> None:
        """Dropped."""

    def send_partial(self, text: str, utterance: int, language: str) -> None:
        """Dropped."""


def hold_again(
    recording: Recording, policy: Policy, voice_detector: Callable[[], VoiceDetector]
) -> list[RecordedStep]:
    """The steps of the call as it would have been under this policy.

    Args:
        voice_detector: makes a fresh detector of the kind that the call had.

    Raises:
        RecordingError: a recorded command lacks what this gateway's has.
    """
    return run_virtually(_hold(recording, policy, voice_detector))


async def _hold(
    recording: Recording, policy: Policy, voice_detector: Callable[[], VoiceDetector]
) -> list[RecordedStep]:
    loop_time = asyncio.get_running_loop().time
    start = recording.steps[0].now if recording.steps else 0.0

    def clock() -> float:
        return start + loop_time()

    tape, replies = _MemoryTape(), spoken_replies(recording.steps)
    services = CallServices(
        transcriber=RecordedTranscriber(Transcripts(recording.steps), clock),
        chat=RecordedChat(replies, clock),
        synthesizer=RecordedVoice(replies),
        system_prompt="",
        policy=policy,
        voice_detector=voice_detector,
        max_tokens=1,
        temperature=0.0,
        recorder=tape,
        clock=clock,
    )
    session = CallSession(recording.header.call_id, _Nowhere(), services)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        for step in recording.steps:
            if running.done():
                break
            if isinstance(step.event, EdgeEvent):
                await asyncio.sleep(max(0.0, step.now - clock()))
                session.deliver(step.event)
        else:
            if recording.steps:
                # What ended the call may have been no event of the line: our own goodbye.
                ends = recording.steps[-1].now + (_LATER_S if recording.complete else 0.0)
                await asyncio.wait({running}, timeout=max(0.0, ends - clock()))
            session.deliver(CallEnded("the recording ends"))
    return tape.steps

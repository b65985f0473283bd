"""One running call: feeds the conversation, executes its commands. No decision is made here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from gateway.audio.pcm import Samples
from gateway.calls.base import CallTransport
from gateway.calls.player import Player
from gateway.calls.records import Stopwatch, TurnRecord
from gateway.calls.reply import ReplyTask, chat_messages
from gateway.conversation.commands import (
    Acknowledge,
    CancelReply,
    Command,
    CommitTurn,
    HangUp,
    NotifyError,
    NotifyPartial,
    NotifyTranscript,
    PauseReply,
    ReleaseReply,
    ResumeReply,
    StartReply,
    Transcribe,
    TranscribePartial,
    Utterance,
)
from gateway.conversation.events import (
    CoreEvent,
    PartialReady,
    PlayoutStarted,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.phase import Phase
from gateway.conversation.policy import Policy
from gateway.conversation.segmenter import VoiceDetector
from gateway.engines.base import (
    ChatModel,
    ChatRequest,
    Priority,
    Synthesizer,
    Tool,
    Transcriber,
    TranscribeRequest,
)
from gateway.errors import SynthesisError, TranscriptionError
from gateway.events import AudioReceived, CallEnded, EdgeEvent
from gateway.recording.tape import Recorder, conversation_on

log = logging.getLogger(__name__)

_MAX_WAITING_EVENTS = 500
"""Ten seconds of 20 ms chunks: only a starved event loop ever lets so much pile up."""


@dataclass(frozen=True, slots=True)
class CallServices:
    """What all calls share.

    Attributes:
        system_prompt: first message of every chat prompt.
        voice_detector: makes the voice detector of one call.
        tools: what the assistant may call.
        stt_timeout_s: seconds after which a recognition counts as hung, and the caller is asked to
            repeat what they said.
        on_turn: told about every finished exchange.
        counters: ``speculation_started, _used, _wasted, _skipped``; ``replies_resumed``.
        may_send_partials: is there time to recognise speech that has not ended?
        may_speculate: is there time to prepare replies that may never be heard?
        recorder: writes down what the core of every call is told; None records nothing.
        clock: monotonic seconds.
    """

    transcriber: Transcriber
    chat: ChatModel
    synthesizer: Synthesizer
    system_prompt: str
    policy: Policy
    voice_detector: Callable[[], VoiceDetector]
    max_tokens: int
    temperature: float
    tools: tuple[Tool, ...] = ()
    stt_timeout_s: float = 20.0
    on_turn: Callable[[TurnRecord], None] = lambda record: None
    counters: Counter[str] = field(default_factory=Counter)
    recorder: Recorder | None = None
    clock: Callable[[], float] = time.monotonic
    may_speculate: Callable[[], bool] = lambda: True
    may_send_partials: Callable[[], bool] = lambda: True


class CallSession:
    """The shell around one Conversation; lives as long as its call.

    Args:
        call_id: the client's name for the call.
        transport: where audio and transcripts go.
    """

    def __init__(self, call_id: str, transport: CallTransport, services: CallServices) -> None:
        self._call_id = call_id
        self._transport = transport
        self._services = services
        self._clock = services.clock
        recorder, policy = services.recorder, services.policy
        self._tape = recorder.tape(call_id, policy) if recorder is not None else None
        self._conversation = conversation_on(self._tape, policy, services.voice_detector())
        self._player = Player(transport, services.clock, self._feed)
        self._stopwatch = Stopwatch()
        self._inbox: asyncio.Queue[EdgeEvent | None] = asyncio.Queue()
        self._tasks = asyncio.TaskGroup()
        self._children: set[asyncio.Task[None]] = set()
        self._recognising: dict[asyncio.Task[None], tuple[int, int]] = {}
        """Turn and revision that each recognition in progress is for."""
        self._reply: ReplyTask | None = None
        self._reply_task: asyncio.Task[None] | None = None
        self._audible = 0
        """The reply that was sent last: another one that is cancelled has no audio waiting."""
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        """What the timer is armed for."""
        self._speculating = False
        self._draining = False
        self._dropped = 0

    # ------------------------------------------------------------------ from the connection

    def deliver(self, event: EdgeEvent) -> None:
        """Hand over an event; audio is dropped if the call is hopelessly behind."""
        if isinstance(event, AudioReceived) and self._inbox.qsize() >= _MAX_WAITING_EVENTS:
            self._dropped += 1
            return
        self._inbox.put_nowait(event)

    def drain(self) -> None:
        """End the call as soon as nobody speaks and no reply is due."""
        self._draining = True
        self._inbox.put_nowait(None)

    async def run(self) -> None:
        """Conduct the call until CallEnded, or until drained."""
        try:
            async with self._tasks:
                self._spawn(self._player.run(), "player")
                await self._receive()
                for task in self._children:
                    task.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._services.chat.forget(self._call_id)
            if self._tape is not None:
                self._tape.close()
            if self._dropped:
                log.warning("call fell behind: %d audio chunks were dropped", self._dropped)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=name)
        self._children.add(task)
        task.add_done_callback(self._children.discard)
        return task

    async def _receive(self) -> None:
        while not self._over:
            event = await self._inbox.get()
            if event is not None:
                self._feed(event)
            elif not self._over:  # the timer, or a wish to drain
                self._conversation.handle_timer(self._clock())
                self._execute_commands()
            if self._drained:
                self._feed(CallEnded("drained"))

    @property
    def _over(self) -> bool:
        return self._conversation.phase is Phase.ENDED

    @property
    def _drained(self) -> bool:
        return self._draining and self._conversation.phase is Phase.LISTENING

    # ------------------------------------------------------------------ the four lines

    def _feed(self, event: CoreEvent) -> None:
        """Feed, drain, execute, re-arm. No await in between: the core needs no lock."""
        now = self._clock()
        if isinstance(event, PlayoutStarted | SpeechSent):
            self._stopwatch.first_audio(event.generation, now)
            self._audible = event.generation
        self._conversation.receive(event, now)
        self._execute_commands()

    def _execute_commands(self) -> None:
        now = self._clock()
        for command in self._conversation.commands():
            self._execute(command, now)
        self._arm_timer()
        if self._over or self._drained:
            # A task of the call may have got here, and no audio may come that would tell it.
            self._inbox.put_nowait(None)

    def _arm_timer(self) -> None:
        deadline = self._conversation.next_deadline()
        if deadline == self._deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deadline = deadline
        if deadline is not None:
            delay = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._timer_elapsed)

    def _timer_elapsed(self) -> None:
        self._deadline = None
        self._inbox.put_nowait(None)

    def _execute(self, command: Command, now: float) -> None:
        match command:
            case Transcribe():
                self._stopwatch.transcribe_ordered(
                    command.turn, command.revision, command.speech_ended_at, now
                )
                self._recognise(command)
            case TranscribePartial():
                if self._transport.wants_partials and self._services.may_send_partials():
                    self._spawn(self._transcribe_partial(command), f"partial {command.number}")
            case StartReply():
                self._start_reply(command, now)
            case ReleaseReply(generation):
                self._stopwatch.released(generation, now)
                self._end_speculation("used")
                self._player.release(generation)
                self._services.chat.promote(self._call_id)
                if self._reply is not None:
                    self._reply.release()
            case CancelReply(generation):
                # Silence first: stopping the sound is what the caller notices.
                self._player.clear()
                if generation == self._audible:
                    self._transport.drop_audio()
                self._end_speculation("wasted")
                self._stop_reply()
            case PauseReply(generation):
                self._player.pause(generation)
            case ResumeReply(generation):
                self._services.counters["replies_resumed"] += 1
                self._player.resume(generation)
            case Acknowledge():
                self._spawn(self._acknowledge(command), f"acknowledge {command.generation}")
            case CommitTurn(turn, text):
                self._stopwatch.turn_committed(turn, text)
            case HangUp(reason):
                log.info("hanging up: %s", reason)
            case NotifyTranscript():
                self._notify(command)
            case NotifyPartial(turn, text, language):
                self._transport.send_partial(text, turn, language)
            case NotifyError(code, message):
                log.error("engine failed in the call: %s: %s", code, message)
            case _:
                assert_never(command)

    # ------------------------------------------------------------------ commands at length

    def _recognise(self, command: Transcribe) -> None:
        """Order recognition, and give up what it makes superfluous: others wait for the engine."""
        for task, (turn, revision) in self._recognising.items():
            if not self._conversation.waits_for(turn, revision):
                task.cancel()
        name = f"stt {command.turn}.{command.revision}"
        task = self._spawn(self._transcribe(command), name)
        self._recognising[task] = command.turn, command.revision
        task.add_done_callback(self._recognising.pop)

    async def _transcribe(self, command: Transcribe) -> None:
        request = TranscribeRequest(command.samples, command.language)
        limit_s = self._services.stt_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                transcript = await self._services.transcriber.transcribe(request)
        except TranscriptionError as error:
            self._transcription_failed(command, str(error), may_retry=True)
            return
        except TimeoutError:
            reason = f"no result within {limit_s:g} s (STT_TIMEOUT_S)"
            self._transcription_failed(command, reason, may_retry=False)
            return
        self._stopwatch.transcript_ready(command.turn, command.revision, self._clock())
        self._feed(
            TranscriptReady(
                command.turn,
                command.revision,
                transcript.text,
                transcript.language,
                transcript.language_probability,
                transcript.avg_logprob,
            )
        )

    def _transcription_failed(self, command: Transcribe, reason: str, *, may_retry: bool) -> None:
        log.warning("transcription failed: %s", reason)
        self._feed(TranscriptFailed(command.turn, command.revision, reason, may_retry))

    async def _transcribe_partial(self, command: TranscribePartial) -> None:
        request = TranscribeRequest(command.samples, command.language, Priority.PARTIAL)
        try:
            heard = await self._services.transcriber.transcribe(request)
        except TranscriptionError as error:
            log.debug("no partial transcript: %s", error)
            return
        self._feed(PartialReady(command.turn, command.number, heard.text, heard.language))

    def _start_reply(self, command: StartReply, now: float) -> None:
        self._stopwatch.reply_started(
            command.generation, command.turn, command.revision, command.language, now
        )
        if not command.hold:
            self._stopwatch.released(command.generation, now)
        self._stop_reply()
        self._speculating = command.hold and self._services.may_speculate()
        if command.hold:
            outcome = "started" if self._speculating else "skipped"
            self._services.counters[f"speculation_{outcome}"] += 1
        self._player.open(command.generation, hold=command.hold)
        self._reply = ReplyTask(
            command,
            chat=self._services.chat,
            request=self._chat_request,
            synthesizer=self._services.synthesizer,
            player=self._player,
            feed=self._feed,
            stopwatch=self._stopwatch,
            clock=self._clock,
            ahead=self._speculating,
        )
        self._reply_task = self._spawn(self._reply.run(), f"reply {command.generation}")

    def _end_speculation(self, outcome: str) -> None:
        if self._speculating:
            self._speculating = False
            self._services.counters[f"speculation_{outcome}"] += 1

    async def _acknowledge(self, command: Acknowledge) -> None:
        pieces: list[Samples] = []
        try:
            speech = self._services.synthesizer.stream(command.text, command.language)
            async with aclosing(speech):
                pieces = [piece.samples async for piece in speech]
        except SynthesisError as error:
            log.warning("acknowledgement failed: %s", error)
        if pieces and self._player.interlude(command.generation, np.concatenate(pieces)):
            length = sum(len(piece) for piece in pieces)
            self._feed(SpeechQueued(command.generation, (), length))

    def _stop_reply(self) -> None:
        if self._reply_task is not None:
            self._reply_task.cancel()
        self._reply = self._reply_task = None

    def _chat_request(self, utterances: tuple[Utterance, ...], priority: Priority) -> ChatRequest:
        return ChatRequest(
            call_id=self._call_id,
            messages=chat_messages(self._services.system_prompt, utterances),
            max_tokens=self._services.max_tokens,
            temperature=self._services.temperature,
            priority=priority,
            tools=self._services.tools,
        )

    def _notify(self, notice: NotifyTranscript) -> None:
        log.debug("%s: %s", notice.speaker, notice.text)  # personal data: never above DEBUG
        utterance = notice.generation or notice.turn
        self._transport.send_transcript(notice.speaker, notice.text, utterance)
        if notice.speaker == "caller":
            return
        record = self._stopwatch.record(
            self._call_id, notice.generation, notice.text, notice.interrupted
        )
        if record is not None:
            log.info("%s", record.summary())
            self._services.on_turn(record)

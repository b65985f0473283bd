"""Composition root: settings -> engines -> calls -> listener. Knows everything, known by none."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, Self, TypeVar, cast

from gateway.calls.base import CallTransport, RunningCall
from gateway.calls.load import LoadMonitor, LoadPolicy, LoadSampler
from gateway.calls.records import TurnRecord
from gateway.calls.registry import CallRegistry
from gateway.calls.session import CallServices, CallSession
from gateway.conversation.policy import (
    BargeInPolicy,
    EndpointPolicy,
    PatiencePolicy,
    Phrases,
    Policy,
)
from gateway.errors import ConfigError, GatewayError
from gateway.loading import (
    load_chat,
    load_transcriber,
    load_voices,
    served_profile,
    voice_detectors,
)
from gateway.machine import files_allowed
from gateway.protocols.native import NativeProtocol
from gateway.receptionist.profile import Profile, phrases_of
from gateway.receptionist.prompt import system_prompt
from gateway.receptionist.tools import receptionist_tools
from gateway.recording.recorder import FileRecorder
from gateway.servers.address import local_url
from gateway.servers.connection import EdgeLimits
from gateway.servers.http import Readiness
from gateway.servers.websocket import WebSocketServer
from gateway.settings import Settings

log = logging.getLogger(__name__)

_OWN_FILES = 256
"""Files that are no caller's: without one left, espeak-ng finds no sounds for a word, and asyncio
accepts two hundred connections before it closes the first of them."""

FirstT = TypeVar("FirstT")
SecondT = TypeVar("SecondT")
ThirdT = TypeVar("ThirdT")


class _Closable(Protocol):
    async def close(self) -> None: ...


EngineT = TypeVar("EngineT", bound=_Closable)


class Gateway:
    """A running gateway: ``async with Gateway(settings) as gateway: await gateway.ready()``.

    Entering binds the port and starts to load the models; until they are ready, calls are refused
    with 503. Leaving drains and stops.

    Args:
        on_turn: told about every finished exchange of every call.
        record_events: folder in which every call is recorded; None records nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_turn: Callable[[TurnRecord], None] | None = None,
        record_events: Path | None = None,
    ) -> None:
        self._settings = settings
        self._on_turn = on_turn or (lambda record: None)
        self._recorder = FileRecorder(record_events) if record_events is not None else None
        self._profile = served_profile(settings)
        self._readiness = Readiness("stt", "llm", "tts", "calls")
        self._services: CallServices | None = None
        self.counters: Counter[str] = Counter()
        """Totals of all calls: speculation started, used, wasted, skipped; replies resumed."""
        self._loading: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self._load_monitor = LoadMonitor(
            LoadPolicy(
                speculation_s=settings.load_speculation_ms / 1000,
                partials_s=settings.load_partials_ms / 1000,
                refuse_s=settings.load_refuse_ms / 1000,
            )
        )
        self._registry = CallRegistry(settings.gateway_max_calls)
        self._server = WebSocketServer(
            self._new_call,
            self._registry,
            host=settings.gateway_host,
            port=settings.gateway_port,
            readiness=self._readiness,
            protocol_factory=self._new_protocol,
            limits=EdgeLimits(
                init_timeout_s=settings.gateway_init_timeout_s,
                idle_timeout_s=settings.gateway_idle_timeout_s,
            ),
            load=self._load_monitor,
            allowed_origins=settings.allowed_origins,
            max_sockets=_most_sockets(settings.gateway_max_calls),
        )

    @property
    def url(self) -> str:
        """Where a client on this machine calls."""
        return local_url(self._settings.gateway_host, self._server.port)

    async def __aenter__(self) -> Self:
        await self._server.start()
        self._loading = asyncio.create_task(self._load(), name="load models")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.drain(self._settings.gateway_drain_timeout_s)
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self._stack.aclose()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)  # a disk may take its time

    async def ready(self) -> None:
        """Wait until every model is loaded and warmed.

        Raises:
            ConfigError: a model cannot be used.
        """
        assert self._loading is not None, "enter the gateway first"
        await asyncio.shield(self._loading)

    async def serve_until_stopped(self) -> None:
        """Load the models, then take calls until SIGINT or SIGTERM, which lets running calls finish
        their sentence. A second signal ends the process at once.

        Raises:
            ConfigError: a model cannot be used.
        """
        loop = asyncio.get_running_loop()
        stop, loaded_or_stopped = asyncio.Event(), asyncio.Event()

        def end() -> None:
            stop.set()
            loaded_or_stopped.set()

        # At once: the first process of a container ends by no signal that it does not handle.
        loop.add_signal_handler(signal.SIGTERM, end)
        assert self._loading is not None, "enter the gateway first"
        self._loading.add_done_callback(lambda _: loaded_or_stopped.set())
        await loaded_or_stopped.wait()
        if not stop.is_set():
            await self.ready()
            loop.add_signal_handler(signal.SIGINT, end)
            await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not left to the default: of SIGINT that is an exception, which would cancel the drain
            # half-way, so that it waits for ever.
            loop.add_signal_handler(number, os._exit, 128 + number)
        log.info("stopping: no new calls, running ones may finish their sentence")
        await self._server.drain(self._settings.gateway_drain_timeout_s)

    # ------------------------------------------------------------------ models

    async def _load(self) -> None:
        started = time.monotonic()
        prompt = system_prompt(self._profile)
        transcriber, synthesizer, chat = await _all(
            self._part("stt", load_transcriber(self._settings)),
            self._part("tts", load_voices(self._settings)),
            self._part("llm", load_chat(self._settings, prompt)),
        )
        self._services = CallServices(
            transcriber=transcriber,
            chat=chat,
            synthesizer=synthesizer,
            system_prompt=prompt,
            tools=receptionist_tools(self._profile),
            stt_timeout_s=self._settings.stt_timeout_s,
            policy=conversation_policy(self._settings, self._profile),
            voice_detector=voice_detectors(),
            counters=self.counters,
            max_tokens=self._settings.llm_max_tokens,
            temperature=self._settings.llm_temperature,
            on_turn=self._on_turn,
            may_speculate=lambda: self._load_monitor.may_speculate,
            may_send_partials=lambda: self._load_monitor.may_send_partials,
            recorder=self._recorder,
        )
        self._watch_load(self._services)
        self._readiness.mark("calls")
        log.info("ready for calls after %.1f s", time.monotonic() - started)

    def _watch_load(self, services: CallServices) -> None:
        sampler = LoadSampler(
            self._load_monitor,
            self._registry,
            stt=services.transcriber,
            chat=services.chat,
            tts=services.synthesizer,
        )
        task = asyncio.create_task(sampler.run(), name="sample load")
        task.add_done_callback(_tell_unless_stopped)
        self._stack.push_async_callback(_stopped, task)

    async def _part(self, name: str, load: Awaitable[EngineT]) -> EngineT:
        engine = await load
        self._stack.push_async_callback(engine.close)
        self._readiness.mark(name)
        return engine

    # ------------------------------------------------------------------ calls

    def _new_protocol(self) -> NativeProtocol:
        lead_s = self._settings.playout_lead_ms / 1000
        return NativeProtocol(self._settings.languages, lead_s)

    def _new_call(self, call_id: str, transport: CallTransport) -> RunningCall:
        assert self._services is not None, "no call is admitted before the models are ready"
        return CallSession(call_id, transport, self._services)


def conversation_policy(settings: Settings, profile: Profile) -> Policy:
    """Every threshold and fixed phrase of a call, from the settings and the business profile."""
    return Policy(
        default_language=settings.gateway_default_language,
        phrases={code: Phrases(**phrases) for code, phrases in phrases_of(profile).items()},
        endpoint=EndpointPolicy(
            pause_ms=settings.turn_pause_ms,
            complete_ms=settings.turn_complete_ms,
            unsure_ms=settings.turn_unsure_ms,
            dictation_ms=settings.turn_dictation_ms,
            incomplete_ms=settings.turn_incomplete_ms,
            ceiling_ms=settings.turn_ceiling_ms,
        ),
        barge_in=BargeInPolicy(
            pause_ms=settings.barge_in_pause_ms, judge_ms=settings.barge_in_judge_ms
        ),
        patience=PatiencePolicy(
            idle_ms=round(settings.idle_caller_s * 1000),
            idle_prompts=settings.idle_prompts,
            acknowledge_ms=settings.acknowledge_after_ms,
            max_call_ms=round(settings.max_call_s * 1000),
        ),
    )


def _most_sockets(max_calls: int) -> int:
    """How many connections leave files for everything else, and for strangers beside the calls."""
    allowed = files_allowed(max_calls + 2 * _OWN_FILES)
    most = allowed - min(_OWN_FILES, allowed // 2)
    if most < max_calls:
        log.warning(
            "GATEWAY_MAX_CALLS=%d, but there can be %d connections: raise the limit of open files"
            " (ulimit -n), which is %d",
            max_calls,
            most,
            allowed,
        )
    return most


def _tell_unless_stopped(task: asyncio.Task[None]) -> None:
    """Log a fault that ended ``task``, when it happens: nobody waits for it until the end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the task %r failed: %s", task.get_name(), error, exc_info=error)


async def _stopped(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _all(
    first: Awaitable[FirstT], second: Awaitable[SecondT], third: Awaitable[ThirdT]
) -> tuple[FirstT, SecondT, ThirdT]:
    """Wait for all; if some fail, report every model's problem at once."""
    results = await asyncio.gather(first, second, third, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if not isinstance(error, GatewayError):
            raise error
    if errors:
        raise ConfigError("\n".join(str(error) for error in errors)) from errors[0]
    return cast(tuple[FirstT, SecondT, ThirdT], tuple(results))

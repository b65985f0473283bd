"""What the gateway gives up when its machine has too much to do, and when.

`LoadMonitor` decides (pure, the time is an argument); `LoadSampler` measures, tells it and says in
the log what changes.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Final

from gateway.calls.registry import CallRegistry
from gateway.engines.base import EngineLoad, Measured

log = logging.getLogger(__name__)

_SAMPLE_S: Final = 0.05
"""Time between two looks: a request that waits for longer is seen."""

_CLAUSE_TOKENS: Final = 8
"""Tokens of a reply's first clause, which the caller waits for."""

_LOOP_VISITS: Final = 5
"""How often a turn waits for the event loop: the pause, the batch, the transcript, the first clause
and its speech."""

_LEAVES_AT: Final = 0.5
"""Part of a level's limit under which the level is left."""


class LoadLevel(IntEnum):
    """What is given up; each level includes those before it."""

    NORMAL = 0
    NO_SPECULATION = 1
    """Replies are no longer prepared before the turn is over."""
    NO_PARTIALS = 2
    """Speech is no longer recognised before it pauses."""
    REFUSE = 3
    """No new call is admitted."""


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """When a level is entered; it is left at half of its limit.

    Attributes:
        speculation_s: delay that load adds to a turn from which speculation is given up, in
            seconds; 0 never.
        partials_s: the same for partial transcripts.
        refuse_s: the same for refusing new calls.
        stay_s: shortest stay in a level, which also lets the level before it take effect.
        smoothing_s: time constant of the means.
    """

    speculation_s: float = 0.15
    partials_s: float = 0.3
    refuse_s: float = 0.6
    stay_s: float = 3.0
    smoothing_s: float = 2.0

    def limit(self, level: LoadLevel) -> float:
        """Delay in seconds from which a level is entered."""
        limits = {
            LoadLevel.NO_SPECULATION: self.speculation_s,
            LoadLevel.NO_PARTIALS: self.partials_s,
            LoadLevel.REFUSE: self.refuse_s,
        }
        return limits.get(level, 0.0) or math.inf


@dataclass(frozen=True, slots=True)
class Delays:
    """By how much each part of the gateway delays a turn because of other calls, in seconds.

    Attributes:
        stt: wait for a place in a batch of recognition.
        chat: wait for a place in the chat model.
        step: how much longer a first clause takes than on a quiet machine.
        tts: wait for a thread of synthesis.
        loop: lateness of the event loop, each time that the turn comes by.
    """

    stt: float = 0.0
    chat: float = 0.0
    step: float = 0.0
    tts: float = 0.0
    loop: float = 0.0

    @property
    def total(self) -> float:
        """By how much a whole turn is delayed, in seconds."""
        return self.stt + self.chat + self.step + self.tts + self.loop

    def milliseconds(self) -> dict[str, int]:
        """The total and every part, in whole ms."""
        return {
            "delay_ms": round(1000 * self.total),
            "stt_ms": round(1000 * self.stt),
            "chat_ms": round(1000 * self.chat),
            "step_ms": round(1000 * self.step),
            "tts_ms": round(1000 * self.tts),
            "loop_ms": round(1000 * self.loop),
        }


@dataclass(frozen=True, slots=True)
class LoadReading:
    """One look at the engines and the event loop.

    Attributes:
        lag_s: by how much the event loop was late, in seconds.
    """

    stt: EngineLoad = EngineLoad()
    chat: EngineLoad = EngineLoad()
    tts: EngineLoad = EngineLoad()
    lag_s: float = 0.0


class LoadMonitor:
    """Keeps exponentially weighted means of the delays, and the level that follows from them."""

    def __init__(self, policy: LoadPolicy | None = None) -> None:
        self._policy = policy or LoadPolicy()
        self._observed: float | None = None
        self._changed = -math.inf
        self._quiet_step_s = math.inf
        self.level = LoadLevel.NORMAL
        self.delays = Delays()
        """Means as of the last reading."""

    @property
    def may_speculate(self) -> bool:
        """Is there time to prepare replies that may never be heard?"""
        return self.level < LoadLevel.NO_SPECULATION

    @property
    def may_send_partials(self) -> bool:
        """Is there time to recognise speech that has not ended?"""
        return self.level < LoadLevel.NO_PARTIALS

    @property
    def refusal(self) -> str | None:
        """Why no new call is admitted now; None while calls are welcome."""
        if self.level < LoadLevel.REFUSE:
            return None
        return (
            f"the gateway is busy: its calls wait {1000 * self.delays.total:.0f} ms more than they"
            " should; try again later"
        )

    def observe(self, reading: LoadReading, now: float) -> bool:
        """Take a reading.

        Args:
            now: monotonic seconds.

        Returns:
            whether the level is another one now.
        """
        elapsed = 0.0 if self._observed is None else now - self._observed
        self._observed = now
        weight = 1.0 - math.exp(-elapsed / self._policy.smoothing_s)
        means, newest = astuple(self.delays), astuple(self._delays_of(reading))
        self.delays = Delays(
            *(old + weight * (new - old) for old, new in zip(means, newest, strict=True))
        )
        level = self._next_level(now)
        if level is self.level:
            return False
        self.level, self._changed = level, now
        return True

    def _delays_of(self, reading: LoadReading) -> Delays:
        step = reading.chat.step_s
        if step > 0:
            # A large model is slow without any load: only what other calls add counts.
            self._quiet_step_s = min(self._quiet_step_s, step)
            step = _CLAUSE_TOKENS * (step - self._quiet_step_s)
        loop = _LOOP_VISITS * reading.lag_s
        return Delays(reading.stt.wait_s, reading.chat.wait_s, step, reading.tts.wait_s, loop)

    def _next_level(self, now: float) -> LoadLevel:
        """One level up or down, or the same."""
        if now - self._changed < self._policy.stay_s:
            return self.level
        delay, limit = self.delays.total, self._policy.limit
        # A level that is switched off is passed over.
        used = [level for level in LoadLevel if not math.isinf(limit(level))]
        higher = next((level for level in used if level > self.level), None)
        if higher is not None and delay >= limit(higher):
            return higher
        if self.level > LoadLevel.NORMAL and delay < _LEAVES_AT * limit(self.level):
            return max((level for level in used if level < self.level), default=LoadLevel.NORMAL)
        return self.level


class LoadSampler:
    """Looks at the load again and again.

    Args:
        registry: told when to refuse new calls.
        stt, chat, tts: the engines; one that is not `Measured` counts as idle.
    """

    def __init__(
        self,
        monitor: LoadMonitor,
        registry: CallRegistry,
        *,
        stt: object,
        chat: object,
        tts: object,
    ) -> None:
        self._monitor = monitor
        self._registry = registry
        self._engines = [
            engine if isinstance(engine, Measured) else None for engine in (stt, chat, tts)
        ]

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _SAMPLE_S
            await asyncio.sleep(_SAMPLE_S)
            now = loop.time()
            before = self._monitor.level
            changed = self._monitor.observe(self._read(max(0.0, now - due)), now)
            self._registry.refuse_new(self._monitor.refusal)
            if changed:
                self._tell(before)

    def _read(self, lag_s: float) -> LoadReading:
        stt, chat, tts = (
            engine.current_load if engine else EngineLoad() for engine in self._engines
        )
        return LoadReading(stt, chat, tts, lag_s)

    def _tell(self, before: LoadLevel) -> None:
        after = self._monitor.level
        parts = self._monitor.delays.milliseconds()
        total = parts.pop("delay_ms")
        log.log(
            logging.WARNING if after > before else logging.INFO,
            "load: %s -> %s with %d calls, which wait %d ms more than on a quiet machine (%s)",
            before.name.lower(),
            after.name.lower(),
            self._registry.active,
            total,
            ", ".join(f"{name.removesuffix('_ms')} {value}" for name, value in parts.items()),
        )

"""When the assistant speaks of its own accord: nobody says anything, or the call grows too long."""

from __future__ import annotations

from enum import Enum

from gateway.conversation.policy import PatiencePolicy, PhraseName


class Reminder(Enum):
    """What a silence or a limit calls for: a phrase, and perhaps the end of the call."""

    STILL_THERE = ("still_there", "")
    GIVE_UP = ("goodbye", "idle")
    ENDING_SOON = ("ending_soon", "")
    TIME_IS_UP = ("goodbye", "max_duration")

    def __init__(self, phrase: PhraseName, hang_up: str) -> None:
        self.phrase = phrase
        self.hang_up = hang_up
        """Why the call ends after it; "" when it goes on."""


class Patience:
    """Deadlines of one call, in call time (seconds)."""

    def __init__(self, policy: PatiencePolicy) -> None:
        self._policy = policy
        self._prompts = 0
        self._quiet_since: float | None = None
        self._warn_at: float | None = None
        self._end_at: float | None = None

    def call_started(self, now: float) -> None:
        """The longest duration counts from here, and so does the first silence."""
        policy = self._policy
        self._quiet_since = now
        if policy.max_call_ms:
            self._end_at = now + policy.max_call_ms / 1000
            if policy.warning_ms:
                # A call shorter than the warning would otherwise begin with it.
                before_end = min(policy.warning_ms, policy.max_call_ms / 2)
                self._warn_at = now + (policy.max_call_ms - before_end) / 1000

    def fell_quiet(self, now: float) -> None:
        """The assistant has finished; it is the caller's turn to speak."""
        self._quiet_since = now

    def caller_spoke(self, now: float) -> None:
        """The caller said something: no reason to ask."""
        self._prompts = 0
        self._quiet_since = now

    def next_deadline(self, *, listening: bool) -> float | None:
        """When ``due`` has something to say; silence and warnings wait until nobody speaks."""
        deadlines = [self._end_at]
        if listening:
            deadlines += [self._idle_at(), self._warn_at]
        return min((at for at in deadlines if at is not None), default=None)

    def due(self, now: float, *, listening: bool) -> Reminder | None:
        """What an elapsed deadline calls for; each is told once."""
        if self._end_at is not None and self._end_at <= now:
            self._end_at = self._warn_at = None
            return Reminder.TIME_IS_UP
        if not listening:
            return None
        if self._warn_at is not None and self._warn_at <= now:
            self._warn_at = None
            return Reminder.ENDING_SOON
        idle_at = self._idle_at()
        if idle_at is None or idle_at > now:
            return None
        self._quiet_since = now
        self._prompts += 1
        if self._prompts > self._policy.idle_prompts:
            return Reminder.GIVE_UP
        return Reminder.STILL_THERE

    def _idle_at(self) -> float | None:
        if self._quiet_since is None or not self._policy.idle_ms:
            return None
        return self._quiet_since + self._policy.idle_ms / 1000

"""Circuit breaker: stops asking an engine that keeps failing, and probes its way back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open and for how long.

    Attributes:
        failures: in a row, that open the circuit.
        first_wait_s: time before the first probe.
        longest_wait_s: every failed probe doubles the wait, up to this.
    """

    failures: int = 2
    first_wait_s: float = 5.0
    longest_wait_s: float = 60.0


class Permit:
    """Lets one request pass."""


class CircuitBreaker:
    """Pure: the time comes in as ``now``, in seconds of any monotonic clock.

    Closed, every request may pass. Open, none may until the wait is over; then exactly one may, as
    a probe, whose success closes the circuit and whose failure makes the wait longer.

    Every permit is followed by exactly one ``succeeded``, ``failed`` or ``abandoned``.
    """

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._failures = 0
        self._wait_s = self._policy.first_wait_s
        self._opened_at: float | None = None
        self._probe: Permit | None = None

    @property
    def is_open(self) -> bool:
        """Are requests kept away, but for probes?"""
        return self._opened_at is not None

    def allow(self, now: float) -> Permit | None:
        """May a request pass now?"""
        if self._opened_at is None:
            return Permit()
        if self._probe is not None or now < self._opened_at + self._wait_s:
            return None
        self._probe = Permit()
        return self._probe

    def succeeded(self) -> None:
        """A request that passed was served; one from before the circuit opened tells as much."""
        self._failures = 0
        self._opened_at = None
        self._probe = None
        self._wait_s = self._policy.first_wait_s

    def failed(self, permit: Permit, now: float) -> None:
        """The request with this permit was not served."""
        self._failures += 1
        if self._opened_at is None:
            if self._failures >= self._policy.failures:
                self._opened_at = now
        elif permit is self._probe:
            self._probe = None
            self._opened_at = now
            self._wait_s = min(2 * self._wait_s, self._policy.longest_wait_s)

    def abandoned(self, permit: Permit) -> None:
        """The request with this permit was given up by its caller: that says nothing about the
        engine.
        """
        if permit is self._probe:
            self._probe = None

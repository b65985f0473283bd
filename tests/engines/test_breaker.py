"""The circuit breaker, with the time as an argument."""

from __future__ import annotations

from gateway.engines.breaker import BreakerPolicy, CircuitBreaker, Permit

POLICY = BreakerPolicy(failures=2, first_wait_s=5, longest_wait_s=15)


def passed(breaker: CircuitBreaker, now: float) -> Permit:
    permit = breaker.allow(now)
    assert permit is not None
    return permit


def passes(breaker: CircuitBreaker, *times: float) -> list[bool]:
    return [breaker.allow(now) is not None for now in times]


def opened(at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(POLICY)
    for _ in range(POLICY.failures):
        breaker.failed(passed(breaker, at), at)
    return breaker


def test_one_failure_is_forgiven() -> None:
    breaker = CircuitBreaker(POLICY)
    for now in range(10):
        breaker.failed(passed(breaker, now), now)
        passed(breaker, now)
        breaker.succeeded()
    assert not breaker.is_open


def test_failures_in_a_row_keep_requests_away_until_the_wait_is_over() -> None:
    breaker = opened()
    assert breaker.is_open
    assert passes(breaker, 0.1, 4.9, 5.0) == [False, False, True]


def test_only_one_request_probes_at_a_time() -> None:
    assert passes(opened(), 6, 6, 100) == [True, False, False]


def test_a_good_probe_closes_the_circuit() -> None:
    breaker = opened()
    passed(breaker, 6)
    breaker.succeeded()
    assert not breaker.is_open and passes(breaker, 6, 6) == [True, True]


def test_a_circuit_that_opens_again_after_a_good_probe_is_probed_as_the_first_time() -> None:
    breaker = opened()
    breaker.failed(passed(breaker, 5), 5)
    passed(breaker, 15)
    breaker.succeeded()
    for _ in range(POLICY.failures):
        breaker.failed(passed(breaker, 20), 20)
    assert passes(breaker, 24.9, 25) == [False, True]


def test_each_bad_probe_doubles_the_wait_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        waited = 0.0
        while (permit := breaker.allow(now + waited)) is None:
            waited += 0.5
        now += waited
        waits.append(waited)
        breaker.failed(permit, now)
    assert waits == [5, 10, 15, 15]


def test_an_abandoned_probe_lets_the_next_one_pass() -> None:
    breaker = opened()
    breaker.abandoned(passed(breaker, 6))
    assert breaker.is_open and passes(breaker, 6) == [True]


def test_late_ends_of_requests_from_before_are_not_taken_for_the_probe() -> None:
    breaker = CircuitBreaker(POLICY)
    late = [passed(breaker, 0) for _ in range(4)]
    for permit in late[:2]:
        breaker.failed(permit, 0)
    breaker.failed(late[2], 4)
    assert passes(breaker, 5) == [True]
    breaker.failed(late[3], 5)
    assert passes(breaker, 6, 100) == [False, False]
    breaker.abandoned(late[0])
    assert passes(breaker, 6, 100) == [False, False]

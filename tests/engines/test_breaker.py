"""The circuit breaker, with the time as an argument."""

from __future__ import annotations

from gateway.engines.breaker import BreakerPolicy, CircuitBreaker

POLICY = BreakerPolicy(failures=2, first_wait_s=5, longest_wait_s=15)


def opened(at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(POLICY)
    for _ in range(POLICY.failures):
        assert breaker.allow(at)
        breaker.failed(at)
    return breaker


def test_one_failure_is_forgiven() -> None:
    breaker = CircuitBreaker(POLICY)
    for now in range(10):
        assert breaker.allow(now)
        breaker.failed(now)
        assert breaker.allow(now)
        breaker.succeeded()
    assert not breaker.is_open


def test_failures_in_a_row_keep_requests_away_until_the_wait_is_over() -> None:
    breaker = opened()
    assert breaker.is_open
    assert [breaker.allow(now) for now in (0.1, 4.9, 5.0)] == [False, False, True]


def test_only_one_request_probes_at_a_time() -> None:
    breaker = opened()
    assert [breaker.allow(6), breaker.allow(6), breaker.allow(100)] == [True, False, False]


def test_a_good_probe_closes_the_circuit() -> None:
    breaker = opened()
    assert breaker.allow(6)
    breaker.succeeded()
    assert not breaker.is_open and breaker.allow(6) and breaker.allow(6)


def test_each_bad_probe_doubles_the_wait_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        waited = 0.0
        while not breaker.allow(now + waited):
            waited += 0.5
        now += waited
        waits.append(waited)
        breaker.failed(now)
    assert waits == [5, 10, 15, 15]


def test_an_abandoned_probe_lets_the_next_one_pass() -> None:
    breaker = opened()
    assert breaker.allow(6)
    breaker.abandoned()
    assert breaker.is_open and breaker.allow(6)


def test_late_failures_of_requests_from_before_do_not_prolong_the_wait() -> None:
    breaker = opened()
    breaker.failed(4)
    assert breaker.allow(5)

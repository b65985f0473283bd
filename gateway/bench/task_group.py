"""One clear failure out of tasks that run together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import GatewayError


@contextmanager
def first_failure() -> Iterator[None]:
    """Open a task group inside this: its first GatewayError is raised in place of the group.

    A group that holds anything else holds a bug, and is raised as it is.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        failed, others = group.split(GatewayError)
        if failed is None or others is not None:
            raise
        failure: BaseException = failed
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        raise failure from failure.__cause__

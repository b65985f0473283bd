"""What tests of several packages share."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on the named method of every `Path` is refused: tests may run as root, whom no
    permission keeps out.
    """

    def refuse(path: Path, *args: object, **options: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    return lambda method: monkeypatch.setattr(Path, method, refuse)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Puts back what a test changes of the log: a handler left behind would write to a stream that
    is closed by then, and print the stack of each message that it cannot write.
    """
    root, websockets = logging.getLogger(), logging.getLogger("websockets.server")
    handlers, level = root.handlers[:], root.level
    filters, websockets_level = websockets.filters[:], websockets.level
    yield
    root.handlers[:], websockets.filters[:] = handlers, filters
    root.setLevel(level)
    websockets.setLevel(websockets_level)

"""What tests of several packages share."""

from __future__ import annotations

import errno
from collections.abc import Callable
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

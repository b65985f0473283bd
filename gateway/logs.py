"""Logging: one line per event, as text or JSON, tagged with the call it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal, TextIO

LogFormat = Literal["text", "json"]

_Fields = dict[str, str | int]
_fields: ContextVar[_Fields | None] = ContextVar("log_fields", default=None)

_REDACTED = "***"
# Below this a secret would be found inside ordinary words.
_MIN_SECRET = 6


@contextmanager
def log_context(
    *, call_id: str | None = None, turn: int | None = None, generation: int | None = None
) -> Iterator[None]:
    """Tag every line logged inside, also by tasks started inside, with what is given."""
    fields = dict(_fields.get() or ())
    given: dict[str, str | int | None] = {
        "call_id": call_id,
        "turn": turn,
        "generation": generation,
    }
    fields.update((name, value) for name, value in given.items() if value is not None)
    token = _fields.set(fields)
    try:
        yield
    finally:
        _fields.reset(token)


def configure_logging(
    level: str = "INFO",
    log_format: LogFormat = "text",
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send the log of the whole process to ``stream`` (standard error), replacing what was set.

    ``secrets`` never appear in the output, whoever logs them.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_ContextFilter())
    hidden = tuple(secret for secret in secrets if len(secret) >= _MIN_SECRET)
    formatter = _JsonFormatter(hidden) if log_format == "json" else _TextFormatter(hidden)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    _tame_websockets()


class _ContextFilter(logging.Filter):
    """Puts the context on the record in the thread that logs, so a formatter can read it later."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.context = dict(_fields.get() or ())
        return True


class _Formatter(logging.Formatter, ABC):
    """What both formats share: the context, and secrets taken out of all that is logged."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        # Before it is laid out: escaped for JSON a secret would no longer be found, and one that is
        # a field's name would rename the field.
        context: _Fields = {
            name: self._redacted(value) if isinstance(value, str) else value
            for name, value in getattr(record, "context", {}).items()
        }
        traceback = self.formatException(record.exc_info) if record.exc_info else ""
        message = self._redacted(record.getMessage())
        return self.line(record, context, message, self._redacted(traceback))

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return text

    @abstractmethod
    def line(
        self, record: logging.LogRecord, context: _Fields, message: str, traceback: str
    ) -> str:
        """One finished line out of what holds no secrets any more; ``traceback`` may be empty."""


class _TextFormatter(_Formatter):
    def line(
        self, record: logging.LogRecord, context: _Fields, message: str, traceback: str
    ) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        tags = "".join(f" {name}={one_line(str(value))}" for name, value in context.items())
        line = f"{time} {record.levelname:<7} {record.name}{tags}: {one_line(message)}"
        return f"{line}\n{traceback}" if traceback else line


class _JsonFormatter(_Formatter):
    def line(
        self, record: logging.LogRecord, context: _Fields, message: str, traceback: str
    ) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **context,
            "message": message,
        }
        if traceback:
            entry["traceback"] = traceback
        # json.dumps leaves line ends and terminal commands above ASCII as they are.
        return _escaped(json.dumps(entry, ensure_ascii=False), lambda c: json.dumps(c)[1:-1])


def one_line(text: str) -> str:
    """A stranger's text without power over a log or a terminal: control characters are escaped."""
    return _escaped(text, lambda c: repr(c)[1:-1])


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escape(c) for c in text)


class _WebsocketsFilter(logging.Filter):
    """Turns what any port scanner or lost client causes into one line without a traceback."""

    ORDINARY = frozenset(
        {
            "opening handshake failed",
            "keepalive ping failed",
            "parser failed",
        }
    )

    def filter(self, record: logging.LogRecord) -> bool:
        if record.getMessage() not in self.ORDINARY:
            return True
        cause = record.exc_info[1] if record.exc_info else None
        if cause is not None:
            record.msg = f"{record.getMessage()}: {type(cause).__name__}: {cause}"
            record.args = None
        record.exc_info = None
        record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        return logging.getLogger().isEnabledFor(logging.INFO)


def _tame_websockets() -> None:
    logger = logging.getLogger("websockets.server")
    # "connection open", "connection closed" and the like are told by our own lines. The logger
    # stays open for errors, which the filter sorts.
    logger.setLevel(logging.WARNING)
    for old in logger.filters[:]:
        logger.removeFilter(old)
    logger.addFilter(_WebsocketsFilter())
    # openai and huggingface_hub speak HTTP through either; both log whole addresses.
    for noisy in ("websockets.client", "httpx", "httpcore", "httpx2", "httpcore2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A line for each sound that a voice does not know, which together spell what is said.
    logging.getLogger("piper.phoneme_ids").setLevel(logging.ERROR)

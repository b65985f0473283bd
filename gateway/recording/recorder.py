"""Writes calls to files from a thread of its own, so that no call waits for a disk."""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from gateway import __version__
from gateway.conversation.policy import Policy
from gateway.errors import ConfigError
from gateway.recording.codec import Header, encode_block, encode_header
from gateway.recording.container import MAGIC, SUFFIX, Kind, record
from gateway.recording.steps import Step

log = logging.getLogger(__name__)

_BLOCK_S = 2.0
"""Call time in one block: what is lost if the process dies."""

_MAX_JOBS = 512
"""Blocks waiting for the disk; then the recording that comes too late is given up, not the call."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def _local_time() -> datetime:
    return datetime.now().astimezone()


class FileRecorder:
    """One file for each call, readable by its owner only; ``close`` waits until all is written.

    Args:
        folder: where recordings go; made, for its owner only, if it is missing.
        wall_clock: the time of day, for names and headers.

    Raises:
        ConfigError: nothing can be written there.
    """

    def __init__(self, folder: Path, wall_clock: Callable[[], datetime] = _local_time) -> None:
        try:
            # Names hold the ids of calls, which may be telephone numbers.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot record calls in {folder}: {error.strerror}") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot record calls in {folder}: expected a writable folder")
        self._folder = folder
        self._wall_clock = wall_clock
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(_MAX_JOBS)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()
        log.warning(
            "calls are recorded in %s, audio and words included: these are personal data", folder
        )

    def tape(self, call_id: str, policy: Policy) -> FileTape:
        """A new file for a call that begins now: ``<call id>-<local time>.vgrec``."""
        now = self._wall_clock()
        name = _UNSAFE.sub("_", call_id)[:80].lstrip(".") or "call"
        path = self._folder / f"{name}-{now:%Y%m%dT%H%M%S.%f}{SUFFIX}"
        header = Header(__version__, call_id, now.isoformat(), msgspec.to_builtins(policy))
        return FileTape(path, header, self._enqueue)

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _enqueue(self, job: Callable[[], None]) -> bool:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class FileTape:
    """The recording of one call; a failure ends the recording, never the call."""

    def __init__(
        self, path: Path, header: Header, enqueue: Callable[[Callable[[], None]], bool]
    ) -> None:
        self.path = path
        self._enqueue = enqueue
        self._steps: list[Step] = []
        self._begun = False
        self._given_up = False
        self._failed = False
        self._put(lambda: MAGIC + record(Kind.HEADER, encode_header(header)))

    def add(self, step: Step) -> None:
        """Take the next step; takes a microsecond, the work is done in the recorder's thread."""
        if self._given_up:
            return
        self._steps.append(step)
        self._failed = self._failed or step.failed
        if step.now - self._steps[0].now >= _BLOCK_S:
            self._flush()

    def close(self) -> None:
        """Write what is left, and that nothing is missing unless the core failed."""
        if self._given_up:
            return
        self._flush()
        if not self._failed:
            self._put(lambda: record(Kind.END, b""))

    def _flush(self) -> None:
        if self._steps:
            steps, self._steps = self._steps, []
            self._put(lambda: record(Kind.BLOCK, encode_block(steps)))

    def _put(self, encode: Callable[[], bytes]) -> None:
        if not self._enqueue(lambda: self._append(encode)):
            self._give_up("the disk is too slow")

    def _append(self, encode: Callable[[], bytes]) -> None:
        if self._given_up:
            return
        try:
            # Opened anew for every block, so that no call ever holds a file open; but made once:
            # one that was deleted meanwhile stays so, and what follows could not be read alone.
            create = 0 if self._begun else os.O_CREAT | os.O_EXCL
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | create, 0o600)
            self._begun = True
            with os.fdopen(file, "ab") as out:
                out.write(encode())
        except OSError as error:
            self._give_up(error.strerror or str(error))
        except Exception as error:  # boundary: a fault in one recording ends no other
            log.exception("a recording could not be encoded")
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        log.error("recording %s is given up: %s", self.path.name, reason)

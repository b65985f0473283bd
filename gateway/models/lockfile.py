"""models/lock.json: what was placed, with the checksum, size and time of each file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.errors import ModelError
from gateway.models.catalogue import Kind, Name
from gateway.models.checksums import Checksum, sha256_of
from gateway.models.disk import disk_error

VERSION = 1

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
# A bound, so that sums and the text of a size cannot overflow.
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]


class LockedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was placed.

    Attributes:
        size: bytes.
        mtime_ns: its time of modification, nanoseconds since 1970; only tells whether the
            checksum must be computed again.
    """

    sha256: Sha256
    size: Size
    mtime_ns: int


class LockedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model as it was placed in ``MODELS_DIR/<kind>/<name>/``.

    Attributes:
        commit: of the repository, None when the hub did not say.
    """

    kind: Kind
    repo: str
    commit: str | None
    licence: str
    languages: tuple[str, ...]
    files: Annotated[dict[Name, LockedFile], msgspec.Meta(min_length=1)]

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(file.size for file in self.files.values())

    @property
    def checksums(self) -> dict[str, Checksum]:
        """What each file's content must give."""
        return {name: Checksum("sha256", file.sha256) for name, file in self.files.items()}


class Lock(msgspec.Struct, forbid_unknown_fields=True):
    """The content of the lock file."""

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)] = VERSION
    models: dict[Name, LockedModel] = {}


def read_lock(path: Path) -> Lock:
    """The lock file; an empty lock when there is none.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except (FileNotFoundError, NotADirectoryError):
        return Lock()
    except OSError as error:
        raise disk_error(error, path) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path} is damaged ({error}), or of a newer gateway; delete it and run "
            "voice-gateway models download for the models you use, or install their bundle again: "
            "files that are whole are not downloaded again"
        ) from error


def write_lock(path: Path, lock: Lock) -> None:
    """Replace the lock file as a whole: it is never seen half written.

    Raises:
        OSError: it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n"
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def lock_file(path: Path) -> LockedFile:
    """A file as it is now; reads it all.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    return LockedFile(sha256_of(path), status.st_size, status.st_mtime_ns)


def file_problem(path: Path, locked: LockedFile, full: bool = False) -> str | None:
    """What is wrong with a file, in words that follow its name; None when it is as recorded.

    Args:
        full: compute the checksum even when size and time are as recorded.
    """
    try:
        status = path.stat()
        if status.st_size != locked.size:
            return f"has {status.st_size} bytes instead of {locked.size}"
        if (full or status.st_mtime_ns != locked.mtime_ns) and sha256_of(path) != locked.sha256:
            return "was changed: its checksum is another"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None

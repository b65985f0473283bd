"""One file that carries downloaded models to a machine without a network.

A bundle is a plain tar: first ``bundle.json`` with the checksums, then ``<kind>/<name>/<file>``.
Installing trusts nothing in it: members are copied by us, never extracted by tarfile, and only
regular files that bundle.json announces, in their size and with their checksum, are taken.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Self

import msgspec

from gateway.errors import ModelError
from gateway.models.catalogue import ModelSettings, Name, how_to_obtain
from gateway.models.disk import disk_error, megabytes, require_space
from gateway.models.lockfile import Lock, LockedFile, LockedModel
from gateway.models.store import (
    ModelStore,
    as_placed,
    locked_models,
    model_problems,
    without_record,
)

Report = Callable[[str], None]

_MANIFEST = "bundle.json"
_MANIFEST_LIMIT = 1_000_000
_EXTENSIONS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_EXTENSION_LIMIT = 64 * 1024
_BLOCK = 1 << 20

# What reading a damaged tar raises.
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError, RecursionError)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What bundle.json says.

    Attributes:
        settings: those that a profile wants beside its models.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    models: Annotated[dict[Name, LockedModel], msgspec.Meta(min_length=1)]
    settings: ModelSettings = {}

    @property
    def members(self) -> dict[str, tuple[str, str, LockedFile]]:
        """Model, file name and record of each member, by the member's name."""
        return {
            f"{model.kind}/{name}/{file_name}": (name, file_name, file)
            for name, model in self.models.items()
            for file_name, file in model.files.items()
        }


class _Header(tarfile.TarInfo):
    """A member's header; tarfile reads the extensions of one whole, into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENSIONS and header.size > _EXTENSION_LIMIT:
            raise tarfile.ReadError(f"an extended header of {header.size} bytes")
        return header


def require_target(target: Path, store: ModelStore) -> None:
    """Check that a bundle can be written to a path, before much time is spent on it.

    Raises:
        ModelError: it cannot.
    """
    target, problem = _real(target), ""
    try:
        if not target.name or target.is_dir():
            problem = " is a folder; name a file in it: FILE.tar"
        elif target.exists() and not target.is_file():
            problem = " is a device or a pipe and would be replaced; name a file"
        elif not target.parent.is_dir():
            problem = f": there is no folder {target.parent}; make it first"
        elif store.holds(target):
            problem = " would be among the files of the models; name a file elsewhere"
        elif not os.access(target.parent, os.W_OK):
            problem = f": {target.parent} cannot be written; choose another folder"
    except OSError as error:
        raise disk_error(error, target) from error
    if problem:
        raise ModelError(f"--bundle {target}{problem}")


def require_room(target: Path, size: int) -> None:
    """Check that a bundle of so many bytes fits where it is to be written.

    Raises:
        ModelError: it does not.
    """
    advice = "pack fewer or smaller models, or name a file on another disk (--bundle)"
    require_space(_real(target).absolute().parent, size, advice)


def _real(target: Path) -> Path:
    """Where a link leads: it stays one, and what it stands for is replaced."""
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def pack(
    store: ModelStore,
    names: Sequence[str],
    target: Path,
    report: Report,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Pack downloaded models, or all of them when no name is given, after verifying them.

    Args:
        settings: those that the models want beside.

    Raises:
        ModelError: a model is not there or not whole, or the file cannot be written.
    """
    require_target(target, store)
    models = locked_models(store, names)
    if not models:
        stray = store.unrecorded()
        raise ModelError(
            without_record(store, stray)
            if stray
            else "nothing is downloaded yet; name a profile or models to download first"
        )
    for name, locked in models.items():
        problems = model_problems(store, name, locked, full=True)
        if problems:
            raise ModelError(f"{problems[0]}; {how_to_obtain(store.root, name)}")
    target = _real(target)
    # Not what another process packs to the same target.
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _discard_parts(target)
        require_room(target, sum(locked.size for locked in models.values()))
        with beside.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _fill(tar, store, models, settings or {}, report)
            # Before the final name, which stands for a whole bundle.
            out.flush()
            os.fsync(out.fileno())
        beside.replace(target)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _fill(
    tar: tarfile.TarFile,
    store: ModelStore,
    models: Mapping[str, LockedModel],
    settings: Mapping[str, str],
    report: Report,
) -> None:
    head = msgspec.json.format(
        msgspec.json.encode(Manifest(1, dict(models), dict(settings))), indent=2
    )
    _add(tar, _MANIFEST, len(head), io.BytesIO(head))
    for name, locked in models.items():
        report(f"packing {name} ({megabytes(locked.size)})")
        for file_name, file in locked.files.items():
            path = store.folder(locked.kind, name) / file_name
            with path.open("rb") as content:
                source = _Hashed(content)
                _add(tar, f"{locked.kind}/{name}/{file_name}", file.size, source)
            if source.digest.hexdigest() != file.sha256:
                raise ModelError(
                    f"{path} was changed while it was packed; run the same command again"
                )


class _Hashed:
    """A file, and the SHA-256 of what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        block = self._file.read(size)
        self.digest.update(block)
        return block


class _Source(io.FileIO):
    """A bundle that is read; a failure of its disk is not one of the models' disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path

    def read(self, size: int | None = -1) -> bytes:
        """Read on.

        Raises:
            ModelError: its disk failed.
        """
        try:
            return super().read(size) or b""
        except OSError as error:
            raise _unreadable(self._path, error) from error


def _unreadable(bundle: Path, error: OSError) -> ModelError:
    return ModelError(
        f"the bundle {bundle} cannot be read ({error.strerror}); check the path, or copy it again"
    )


def _discard_parts(target: Path) -> None:
    """Delete what packs to the same target left that were killed."""
    start, end = f".{target.name}.", ".part"
    for path in target.parent.glob(f"{glob.escape(start)}*{end}"):
        pid = path.name.removeprefix(start).removesuffix(end)
        if pid.isdecimal() and not _runs(int(pid)):
            with suppress(OSError):
                path.unlink()


def _runs(pid: int) -> bool:
    """Whether another process has this number now."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def install(store: ModelStore, bundle: Path, report: Report) -> Manifest:
    """Install all models of a bundle, or none; returns what it says of them.

    Raises:
        ModelError: the bundle is damaged, or not one we would make; nothing was installed.
    """
    try:
        file = _Source(bundle)
    except OSError as error:
        raise _unreadable(bundle, error) from error
    try:
        with file, store.exclusive():
            lock = store.read()
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as tar:
                return _Installation(store, bundle, report).run(tar, lock)
    except _DAMAGE as error:
        raise ModelError(
            f"{bundle} is damaged or incomplete, or is no plain tar ({error}); copy it again, "
            "uncompressed"
        ) from error
    except OSError as error:
        raise disk_error(error, store.root) from error


class _Installation:
    def __init__(self, store: ModelStore, bundle: Path, report: Report) -> None:
        self._store, self._bundle, self._report = store, bundle, report

    def run(self, tar: tarfile.TarFile, lock: Lock) -> Manifest:
        """Unpack, verify, place and record all models."""
        manifest = self._read_manifest(tar)
        # What an installation that was killed left takes the room that this one needs.
        for name in manifest.models:
            self._store.discard(self._store.unpacking(name))
        for name, model in manifest.models.items():
            self._store.require_own(model.kind, name, model.checksums)
        require_space(self._store.root, sum(model.size for model in manifest.models.values()))

        def record() -> None:
            for name, model in manifest.models.items():
                lock.models[name] = as_placed(self._store, name, model)
            self._store.write(lock)

        try:
            self._unpack(tar, manifest)
            self._store.place(
                [
                    (self._unpacked(name), self._store.folder(model.kind, name))
                    for name, model in manifest.models.items()
                ],
                record,
            )
        finally:
            for name in manifest.models:
                self._store.discard(self._store.unpacking(name))
        return manifest

    def _unpacked(self, name: str) -> Path:
        return self._store.unpacking(name) / "files"

    def _read_manifest(self, tar: tarfile.TarFile) -> Manifest:
        member = tar.next()
        if member is None or member.name != _MANIFEST or not member.isreg():
            raise ModelError(
                f"{self._bundle} is not a bundle of models: expected {_MANIFEST} first; make one "
                "with: voice-gateway models download --bundle FILE.tar"
            )
        if member.size > _MANIFEST_LIMIT:
            raise ModelError(f"{self._bundle}: {_MANIFEST} has {member.size} bytes; refused")
        try:
            return msgspec.json.decode(_content(tar, member).read(), type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ModelError(f"{self._bundle}: {_MANIFEST} is not valid: {error}") from error

    def _unpack(self, tar: tarfile.TarFile, manifest: Manifest) -> None:
        wanted = manifest.members
        for name in manifest.models:
            self._unpacked(name).mkdir(parents=True)
        while (member := tar.next()) is not None:
            problem = _problem(member, wanted)
            if problem:
                raise ModelError(
                    f"{self._bundle}: {member.name!r} {problem}; refused, nothing was installed"
                )
            name, file_name, locked = wanted.pop(member.name)
            self._report(f"installing {name}/{file_name} ({megabytes(locked.size)})")
            if _copy(_content(tar, member), self._unpacked(name) / file_name) != locked.sha256:
                raise ModelError(
                    f"{self._bundle}: {member.name} has a wrong checksum; copy the bundle again, "
                    "nothing was installed"
                )
        if wanted:
            raise ModelError(
                f"{self._bundle} is incomplete, {min(wanted)} is missing; copy it again, "
                "nothing was installed"
            )


def _problem(member: tarfile.TarInfo, wanted: dict[str, tuple[str, str, LockedFile]]) -> str | None:
    """Why a member is refused, in words that follow its name."""
    if member.issym() or member.islnk():
        return "is a link"
    if not member.isreg():
        return "is not a regular file"
    if member.name.startswith(("/", "\\")) or ":" in member.name:
        return "has an absolute name"
    if ".." in member.name.replace("\\", "/").split("/"):
        return "leaves its folder"
    if member.name not in wanted:
        return f"is not announced by {_MANIFEST}, or comes twice"
    if member.size != wanted[member.name][2].size:
        return "is not as long as announced"
    return None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    return content


def _copy(source: IO[bytes], target: Path) -> str:
    """Copy a file, to the disk; returns its SHA-256."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes] | _Hashed) -> None:
    """Add a member that says nothing of this machine, so that equal models give equal bundles."""
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, content)

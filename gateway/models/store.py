"""The folder of the models: one process changes it at a time, and models appear in it whole.

``MODELS_DIR/<kind>/<name>/`` holds a model, ``lock.json`` what was placed, and ``.incoming/`` what
is not whole yet; it is on the same disk, so that a model is placed by renaming its folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from gateway.errors import ModelError
from gateway.models.catalogue import (
    FROM_BUNDLE,
    KIND_TITLES,
    Kind,
    did_you_mean,
    in_catalogue,
)
from gateway.models.checksums import Checksum
from gateway.models.disk import disk_error
from gateway.models.lockfile import Lock, LockedModel, file_problem, read_lock, write_lock

# No model's name begins with a dot.
_UNPACKING = ".bundle-"


class StoreBusyError(ModelError):
    """Another process is changing the models."""


class ModelStore:
    """The models under one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock_path = root / "lock.json"

    def folder(self, kind: Kind, name: str) -> Path:
        """Where a model lies."""
        return self.root / kind / name

    def incoming(self, name: str) -> Path:
        """Where a download puts a model together."""
        return self.root / ".incoming" / name

    def unpacking(self, name: str) -> Path:
        """Where a bundle's model is unpacked: a download of it keeps its parts meanwhile."""
        return self.incoming(f"{_UNPACKING}{name}")

    def holds(self, path: Path) -> bool:
        """Whether a path is one of ours: in a folder of models, or beside them with our name."""
        root, real = os.path.realpath(self.root), os.path.realpath(path)
        if not real.startswith(os.path.join(root, "")):
            return False
        first, *below = os.path.relpath(real, root).split(os.sep)
        ours = {"lock.json", "catalogue.toml", ".lock"}
        return first in {*KIND_TITLES, "starter", ".incoming"} if below else first in ours

    def unfinished(self) -> set[str]:
        """Names of the models that are not complete yet.

        Raises:
            ModelError: the folder cannot be read.
        """
        folder = self.root / ".incoming"
        names = {path.name.removeprefix(_UNPACKING) for path in _entries(folder)}
        return {name for name in names if not name.startswith(".")}

    def unrecorded(self) -> list[str]:
        """Names of the models that lie there and are not in the lock file: it was deleted, or they
        were put there by hand.

        Raises:
            ModelError: a folder cannot be read, or the lock file is damaged.
        """
        models = self.read().models
        found = []
        for kind in KIND_TITLES:
            folder = self.root / kind
            try:
                found += [path.name for path in _visible(folder) if path.is_dir()]
            except OSError as error:
                raise disk_error(error, folder) from error
        return [name for name in found if name not in models]

    def read(self) -> Lock:
        """What was placed.

        Raises:
            ModelError: the lock file is damaged.
        """
        return read_lock(self.lock_path)

    def write(self, lock: Lock) -> None:
        """Record what was placed.

        Raises:
            OSError: it cannot be written.
        """
        write_lock(self.lock_path, lock)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Change the models alone; a process that dies gives the right back.

        Raises:
            StoreBusyError: another process is changing them.
            OSError: the folder cannot be written.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreBusyError(
                f"another download or removal is running in {self.root}; wait until it has ended"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def require_own(self, kind: Kind, name: str, files: Mapping[str, Checksum]) -> None:
        """Check that replacing or removing a model would delete nothing that somebody else put in
        its place.

        Args:
            files: those of the model that is to come, by name.

        Raises:
            ModelError: there are other files than the recorded and hidden ones, and those that are
                already as they are to come.
            OSError: a file cannot be read.
        """
        folder = self.folder(kind, name)
        if os.path.lexists(folder) and not folder.is_dir():
            raise ModelError(
                f"{folder} is no folder of a model and would be deleted; move it elsewhere first"
            )
        locked = self.read().models.get(name)
        recorded = locked.files if locked is not None and locked.kind == kind else {}

        def is_own(path: Path) -> bool:
            if not path.is_file():
                return False
            to_come = files.get(path.name)
            return path.name in recorded or (to_come is not None and to_come.matches(path))

        strange = [path.name for path in _visible(folder) if not is_own(path)]
        if strange:
            raise ModelError(
                f"{folder} holds {', '.join(strange[:3])}{' and more' * (len(strange) > 3)}, which "
                "is not in lock.json and would be deleted; move it elsewhere first"
            )

    def place(
        self, moves: Sequence[tuple[Path, Path]], record: Callable[[], None] | None = None
    ) -> None:
        """Rename folders to their final names, all or none; a folder in the way is replaced.

        Args:
            record: called when all are placed; they are taken back when it fails.

        Raises:
            OSError: nothing was changed.
        """
        done: list[tuple[Path, Path, Path | None]] = []
        try:
            for source, target in moves:
                target.parent.mkdir(parents=True, exist_ok=True)
                old = source.with_name(f"{source.name}.old") if target.exists() else None
                # Before it begins: an interrupt may come between any two steps.
                done.append((source, target, old))
                if old is not None:
                    shutil.rmtree(old, ignore_errors=True)
                    target.rename(old)
                source.rename(target)
            if record is not None:
                record()
        except BaseException:
            for source, target, old in reversed(done):
                if not source.exists():
                    target.rename(source)
                if old is not None and not target.exists():
                    old.rename(target)
            raise

    def discard(self, *folders: Path) -> None:
        """Delete what is left in ``folders`` of putting models together."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.parent.is_dir() and not any(folder.parent.iterdir()):
                folder.parent.rmdir()


def locked_models(store: ModelStore, names: Sequence[str]) -> dict[str, LockedModel]:
    """Named models out of what was placed; all of them when no name is given.

    Raises:
        ModelError: one was not placed, or the lock file is damaged.
    """
    models = store.read().models
    for name in names:
        if name not in models:
            if name in store.unrecorded():
                raise ModelError(without_record(store, [name]))
            raise ModelError(
                f"{name!r} is not downloaded{did_you_mean(name, models)}; "
                "voice-gateway models list shows what is"
            )
    return {name: models[name] for name in names or models}


def without_record(store: ModelStore, names: Sequence[str]) -> str:
    """What to do about models that the lock file does not know."""
    known = [name for name in names if in_catalogue(store.root, name)]
    lines = [f"not in lock.json, so not known to be whole: {', '.join(names)}"]
    if known:
        lines.append(
            "what was downloaded is recorded again, without a transfer, by: voice-gateway models "
            f"download {' '.join(known)}"
        )
    if len(known) < len(names):
        lines.append(f"what came from a bundle is recorded again by: {FROM_BUNDLE}")
    return "; ".join(lines)


def _visible(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if not path.name.startswith(".")]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise disk_error(error, folder) from error


def as_placed(store: ModelStore, name: str, model: LockedModel) -> LockedModel:
    """The record of a model with the times that its files have now.

    Raises:
        OSError: a file is missing, or cannot be looked at.
    """
    folder = store.folder(model.kind, name)
    files = {
        file_name: msgspec.structs.replace(file, mtime_ns=(folder / file_name).stat().st_mtime_ns)
        for file_name, file in model.files.items()
    }
    return msgspec.structs.replace(model, files=files)


def model_problems(
    store: ModelStore, name: str, locked: LockedModel, full: bool = False
) -> list[str]:
    """One line for each file of a model that is not as recorded.

    Args:
        full: compute every checksum; otherwise only of files whose time has changed.
    """
    folder = store.folder(locked.kind, name)
    found = []
    for file_name, file in locked.files.items():
        problem = file_problem(folder / file_name, file, full)
        if problem:
            found.append(f"{name}: {folder / file_name} {problem}")
    return found

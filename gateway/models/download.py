"""Downloading models: looked up, checked for room, transferred, verified, then placed as a whole.

Files come in as ``.incoming/<name>/parts/<checksum>``. One that is complete and verified moves to
``.incoming/<name>/files/``; when all are there, that folder becomes the model's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import ModelError
from gateway.models.catalogue import CatalogueModel
from gateway.models.disk import disk_error, megabytes, require_space
from gateway.models.lockfile import Lock, LockedModel, lock_file
from gateway.models.store import ModelStore

if TYPE_CHECKING:
    # Not at run time: a bundle is installed without the hub's library.
    from gateway.models.hub import Hub, RemoteFile, RemoteModel

Report = Callable[[str], None]


def download(
    store: ModelStore, hub: Hub, models: Mapping[str, CatalogueModel], report: Report
) -> None:
    """Download models that are not there yet, or not whole; each appears when it is complete.

    Run again after a failure, it goes on where it stopped.

    Args:
        models: by name.
        report: called with one line on each step.

    Raises:
        ModelError: one line that says what to do. Models before the failing one are in place.
    """
    try:
        with store.exclusive():
            lock = store.read()
            found = [hub.look_up(name, entry) for name, entry in models.items()]
            for model in found:
                files = {file.name: file.checksum for file in model.files}
                store.require_own(model.entry.kind, model.name, files)
            transfers = [
                _Transfer(store, hub, model, lock.models.get(model.name)) for model in found
            ]
            require_space(store.root, sum(transfer.missing for transfer in transfers))
            for transfer in transfers:
                transfer.run(lock, report)
    except OSError as error:
        raise disk_error(error, store.root) from error


class _Transfer:
    """One model on its way."""

    def __init__(
        self, store: ModelStore, hub: Hub, model: RemoteModel, locked: LockedModel | None
    ) -> None:
        self._store, self._hub, self._model, self._locked = store, hub, model, locked
        self._final = store.folder(model.entry.kind, model.name)
        incoming = store.incoming(model.name)
        self._parts, self._files = incoming / "parts", incoming / "files"
        self._whole = {file.name for file in model.files if self._has(self._final, file)}
        ready = {file.name for file in model.files if self._has(self._files, file)} - self._whole
        self._ready = ready
        self.missing = sum(
            file.size - self._received(file)
            for file in model.files
            if file.name not in self._whole | ready
        )

    def run(self, lock: Lock, report: Report) -> None:
        """Fetch, verify, place and record the model."""
        model, name = self._model, self._model.name
        if len(self._whole) == len(model.files) and self._locked is not None:
            report(f"{name} is already there and whole")
            self._store.discard(self._store.incoming(name))
        else:
            report(f"{name}: {megabytes(self.missing)} from {model.entry.repo}")
            self._parts.mkdir(parents=True, exist_ok=True)
            self._files.mkdir(exist_ok=True)
            for file in model.files:
                self._obtain(file)
            for stray in {path.name for path in self._files.iterdir()} - {
                file.name for file in model.files
            }:
                (self._files / stray).unlink()
            self._store.place([(self._files, self._final)])
            self._store.discard(self._store.incoming(name))
        # Also when nothing was fetched: the time of a file may have changed since.
        lock.models[name] = LockedModel(
            kind=model.entry.kind,
            repo=model.entry.repo,
            commit=model.commit,
            licence=model.entry.licence,
            languages=model.entry.languages,
            files={file.name: lock_file(self._final / file.name) for file in model.files},
        )
        self._store.write(lock)

    def _obtain(self, file: RemoteFile) -> None:
        target = self._files / file.name
        if file.name in self._ready:
            return
        if file.name in self._whole:
            target.unlink(missing_ok=True)
            _link_or_copy(self._final / file.name, target)
            return
        part = self._parts / file.checksum.value
        resumed = part.exists()
        self._hub.fetch(file, part)
        if resumed and not file.checksum.matches(part):
            # What was kept may have been damaged when the machine went down: once more, in full.
            part.unlink()
            self._hub.fetch(file, part)
        if not file.checksum.matches(part):
            part.unlink()
            raise ModelError(
                f"{self._model.name}: {file.name} arrived with a wrong checksum and was thrown "
                "away; run the command again, and if that repeats, something between here and "
                f"{self._hub.endpoint} (proxy, mirror) changes or replaces it"
            )
        part.replace(target)

    def _received(self, file: RemoteFile) -> int:
        part = self._parts / file.checksum.value
        return min(part.stat().st_size, file.size) if part.exists() else 0

    @staticmethod
    def _has(folder: Path, file: RemoteFile) -> bool:
        path = folder / file.name
        same_size = path.is_file() and path.stat().st_size == file.size
        return same_size and file.checksum.matches(path)


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that is whole; the disk may know no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

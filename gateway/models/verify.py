"""Verifying and removing the models that were placed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.models.disk import disk_error
from gateway.models.lockfile import LockedModel
from gateway.models.store import (
    ModelStore,
    StoreBusyError,
    as_placed,
    locked_models,
    model_problems,
)


def verify(
    store: ModelStore, names: Sequence[str], report: Callable[[str, list[str]], None]
) -> bool:
    """Compute the checksum of every file of some models, or of all; whether all are whole.

    Args:
        report: called with the name and the problems of each model.

    Raises:
        ModelError: a name was not placed, or the lock file is damaged.
    """
    whole = True
    for name, locked in locked_models(store, names).items():
        problems = model_problems(store, name, locked, full=True)
        report(name, problems)
        whole = whole and not problems
    return whole


def refresh_times(store: ModelStore) -> None:
    """Record the present time of files that are whole, so that starts are fast again.

    Does nothing when all times are as recorded, or another process changes the models.

    Raises:
        ModelError: the folder cannot be written.
    """
    if not _with_present_times(store):
        return
    try:
        with store.exclusive():
            lock = store.read()
            lock.models |= _with_present_times(store)
            store.write(lock)
    except StoreBusyError:
        return  # the next time will do
    except OSError as error:
        raise disk_error(error, store.root) from error


def _with_present_times(store: ModelStore) -> dict[str, LockedModel]:
    """Whole models of which a file has another time than recorded, with the present times."""
    found = {}
    for name, locked in store.read().models.items():
        if model_problems(store, name, locked):
            continue
        if (present := as_placed(store, name, locked)) != locked:
            found[name] = present
    return found


def remove(store: ModelStore, name: str) -> None:
    """Delete a model, or what is left of a download or a bundle that did not finish.

    Raises:
        ModelError: there is no such model, its folder holds files that are not of it, or its files
            cannot be deleted.
    """
    if name not in store.read().models and name not in store.unfinished():
        locked_models(store, [name])  # tells what there is, and makes no folder for it
    try:
        with store.exclusive():
            lock = store.read()
            if name not in lock.models and name in store.unfinished():
                store.discard(store.incoming(name), store.unpacking(name))
                return
            locked = locked_models(store, [name])[name]
            store.require_own(locked.kind, name, {})
            folder, incoming = store.folder(locked.kind, name), store.incoming(name)
            # Out of sight in one step, so that no half model is left under its name, unless the
            # disk is too full for that.
            with suppress(OSError):
                incoming.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(incoming / "removed", ignore_errors=True)
                folder.rename(incoming / "removed")
            if folder.exists():
                shutil.rmtree(folder)
            # Before the record, which takes room on a disk that may be full.
            store.discard(incoming, store.unpacking(name))
            del lock.models[name]
            store.write(lock)
    except OSError as error:
        raise disk_error(error, store.root) from error

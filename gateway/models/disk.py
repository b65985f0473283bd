"""What can go wrong with a disk, and room on it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from gateway.errors import ModelError

RESERVE = 64 * 1_000_000
"""Bytes that stay free."""

MODELS_ELSEWHERE = "choose smaller models or another disk (MODELS_DIR)"

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.EEXIST, errno.ENOTDIR}


def require_space(folder: Path, needed: int, advice: str = MODELS_ELSEWHERE) -> None:
    """Check that files of so many bytes fit into a folder, which need not exist yet.

    Args:
        advice: what else to do than to free some room, in words that end the message.

    Raises:
        ModelError: they do not.
    """
    folder = existing(folder)
    free = shutil.disk_usage(folder).free
    if needed and needed + RESERVE > free:
        raise ModelError(
            f"{megabytes(needed)} are needed, {megabytes(RESERVE)} must stay free, and "
            f"{megabytes(free)} are free at {folder}; free some, {advice}"
        )


def existing(folder: Path) -> Path:
    """A folder, or the nearest one around it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def same_disk(first: Path, second: Path) -> bool:
    """Whether two folders, which need not exist yet, are on one file system."""
    return existing(first).stat().st_dev == existing(second).stat().st_dev


def disk_error(error: OSError, place: Path) -> ModelError:
    """What to do about an error of the file system.

    Args:
        place: what was worked on, should the error not say.
    """
    where = error.filename or place
    if error.errno in _NO_SPACE:
        return ModelError(
            f"the disk of {place} is full; free some or choose another, then run the same command "
            "again"
        )
    if error.errno == errno.EFBIG:
        return ModelError(
            f"a file is too large for the disk of {place}: FAT32 takes none over 4 GB; use a disk "
            "with exFAT, NTFS or ext4, or name fewer or smaller models"
        )
    if error.errno == errno.EXDEV:
        return ModelError(
            f"{where} cannot be moved to {error.filename2 or place}, on another disk: the folders "
            "stt, llm and tts must be on the disk of MODELS_DIR; set or link that one instead"
        )
    if error.errno in _NOT_ALLOWED:
        return ModelError(
            f"{where} cannot be read or written ({error.strerror}); run as its owner, or choose "
            "another folder (for the models: MODELS_DIR)"
        )
    if error.errno in _NO_FOLDER:
        return ModelError(
            f"a file is where a folder is expected, at {where}; set MODELS_DIR to a folder"
        )
    return ModelError(f"{where}: {error.strerror or error}")


def megabytes(size: int) -> str:
    """A size for people: 1 MB is 1,000,000 bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"

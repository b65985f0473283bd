"""The models that come with the gateway: whether they are as they came."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gateway.models.checksums import listed_sums, sha256_of

LISTING = "SHA256SUMS"


def starter_problems(folder: Path, places: Collection[Path] | None = None) -> list[str] | None:
    """One line for each file of the starter models that is not as it came; None when nothing is
    recorded of them. Reads them: 43 MB at most.

    Args:
        folder: ``models/starter``; its ``SHA256SUMS`` is what ``sha256sum`` writes.
        places: the files and folders to look at; all without.
    """
    listing = folder / LISTING
    try:
        sums = listed_sums(listing)
    except (OSError, ValueError) as error:
        return [_restore(f"{listing} cannot be read ({error})")]
    chosen = {
        path: value
        for path, value in sums.items()
        if places is None or path in places or path.parent in places
    }
    if not chosen:
        return None
    return [_restore(line) for path, value in chosen.items() if (line := _problem(path, value))]


def _problem(path: Path, value: str) -> str | None:
    try:
        return None if sha256_of(path) == value else f"{path} was changed: its checksum is another"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"


def _restore(problem: str) -> str:
    return f"starter: {problem}; restore it, in a clone with: git restore models/starter"

"""Checksums of model files: the hub's, and the one that is recorded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file's content must give.

    Attributes:
        algorithm: large files have a SHA-256 on the hub; small ones the id that git gives their
            content, which is a SHA-1 over a header and the bytes.
        value: in lower-case hexadecimal digits.
    """

    algorithm: Literal["sha256", "git-sha1"]
    value: str

    def matches(self, path: Path) -> bool:
        """Whether a file has this content; reads it all.

        Raises:
            OSError: it cannot be read.
        """
        digest = sha256_of(path) if self.algorithm == "sha256" else git_sha1_of(path)
        return digest == self.value


def checksum_of_etag(etag: str | None) -> Checksum | None:
    """The checksum that the hub gives as an entity tag, or None when it is something else."""
    if etag and re.fullmatch(r"[0-9a-f]{64}", etag):
        return Checksum("sha256", etag)
    if etag and re.fullmatch(r"[0-9a-f]{40}", etag):
        return Checksum("git-sha1", etag)
    return None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed_sums(listing: Path) -> dict[Path, str]:
    """What a listing that sha256sum wrote says of the files beside it; nothing without one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else.
    """
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        entry = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if entry is None:
            raise ValueError(f"{line[:80]!r}, expected a SHA-256 and the name of a file")
        found[listing.parent / entry[2]] = entry[1]
    return found


def git_sha1_of(path: Path) -> str:
    """The id that git gives a file's content, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

"""Mirror of which tokens the KV cache holds, cell by cell, in integers only.

The real cache is one unified pool: a cell (one position of one token) may belong to several
sequences after a prefix was copied, and is free again when the last of them lets go. Keeping the
same books here makes "how many cells would that need" an exact answer instead of a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CopyPrefix:
    """Let ``target`` (empty) share the first ``length`` cells of ``source``."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class CutSequence:
    """Keep the first ``length`` tokens of a sequence; 0 removes it."""

    sequence: int
    length: int


KvOperation = CopyPrefix | CutSequence


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix of two sequences of the same type."""
    low, high = 0, min(len(a), len(b))
    # Slices compare at C speed, so halving beats a loop over the tokens.
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class KvMirror:
    """Tokens and cells of every sequence, and the operations that made them so.

    Args:
        cells: size of the cache in tokens.
        sequences: number of sequence ids, 0..sequences-1.
    """

    def __init__(self, cells: int, sequences: int) -> None:
        self.cells = cells
        self._free = list(range(cells - 1, -1, -1))
        self._references = [0] * cells
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._cells: list[list[int]] = [[] for _ in range(sequences)]
        self._operations: list[KvOperation] = []

    @property
    def free(self) -> int:
        """Cells that no sequence uses."""
        return len(self._free)

    def length(self, sequence: int) -> int:
        """Tokens that a sequence holds."""
        return len(self._tokens[sequence])

    def common_prefix(self, sequence: int, prompt: Sequence[int]) -> int:
        """Leading tokens of ``prompt`` that a sequence already holds."""
        return common_prefix(self._tokens[sequence], list(prompt))

    def cells_of(self, sequence: int, length: int | None = None) -> list[int]:
        """Ids of the cells behind the first ``length`` tokens (all when None)."""
        return self._cells[sequence][:length]

    def extend(self, sequence: int, tokens: Iterable[int]) -> None:
        """Record tokens that were decoded at the end of a sequence.

        Raises:
            IndexError: the cache is full, which a correct plan never lets happen.
        """
        for token in tokens:
            cell = self._free.pop()
            self._references[cell] = 1
            self._tokens[sequence].append(token)
            self._cells[sequence].append(cell)

    def copy(self, source: int, target: int, length: int) -> None:
        """Share a prefix with an empty sequence; costs no cells."""
        if length == 0:
            return
        self._tokens[target] = self._tokens[source][:length]
        self._cells[target] = self._cells[source][:length]
        for cell in self._cells[target]:
            self._references[cell] += 1
        self._operations.append(CopyPrefix(source, target, length))

    def cut(self, sequence: int, length: int) -> None:
        """Let go of everything after the first ``length`` tokens."""
        cells = self._cells[sequence]
        if length >= len(cells):
            return
        for cell in cells[length:]:
            self._references[cell] -= 1
            if self._references[cell] == 0:
                self._free.append(cell)
        del cells[length:]
        del self._tokens[sequence][length:]
        self._operations.append(CutSequence(sequence, length))

    def take_operations(self) -> tuple[KvOperation, ...]:
        """What must be done to the real cache, in order, since the last call."""
        operations = tuple(self._operations)
        self._operations.clear()
        return operations

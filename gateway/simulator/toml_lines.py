"""Finds the line of a key in TOML text, for messages: tomllib gives values without positions."""

from __future__ import annotations

import re
from collections.abc import Iterator

Key = tuple[str | int, ...]
"""Path to a value; numbers count the tables of an array, or the values in one."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[\w-]+)*)\s*=")
_STRING_OR_COMMENT = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")
_TRIPLE = re.compile(r'"""|\'\'\'')


def locate(text: str, key: Key) -> tuple[int, int]:
    """Line, from 1, of the deepest part of ``key`` that stands in the text, and its depth.

    (1, 0) if no part does.
    """
    best, depth = 1, 0
    for number, found in _keys(text):
        shared = 0
        while shared < min(len(found), len(key)) and found[shared] == key[shared]:
            shared += 1
        # A key that leads elsewhere shares its beginning with ours by accident of nesting.
        if shared == len(found) and shared > depth:
            best, depth = number, shared
    return best, depth


def _keys(text: str) -> Iterator[tuple[int, Key]]:
    """Every table header and assignment with its full path and line."""
    table: Key = ()
    key: Key = ()
    counts: dict[Key, int] = {}
    quote = ""
    depth = elements = 0
    for number, line in enumerate(text.splitlines(), 1):
        if quote:
            if quote not in line:
                continue
            line, quote = line.partition(quote)[2], ""
        elif depth == 0:
            if header := _HEADER.match(line):
                table = _resolve(header.group(2), header.group(1) == "[[", counts)
                yield number, table
                continue
            if assignment := _ASSIGNMENT.match(line):
                key, elements = table + _names(assignment.group(1)), 0
                yield number, key
                line = line[assignment.end() :]
        if opened := _TRIPLE.search(line):
            if line.count(opened.group()) % 2:
                quote = opened.group()
            line = line[: opened.start()]
        for character in _STRING_OR_COMMENT.sub("", line):
            if character == "{" and depth == 1:
                yield number, (*key, elements)
                elements += 1
            depth = max(0, depth + (character in "[{") - (character in "]}"))


def _names(dotted: str) -> Key:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))


def _resolve(dotted: str, array: bool, counts: dict[Key, int]) -> Key:
    """A header's path, with the number of the current table after each array of tables."""
    path: Key = ()
    names = _names(dotted)
    for index, name in enumerate(names):
        path = (*path, name)
        if array and index == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path

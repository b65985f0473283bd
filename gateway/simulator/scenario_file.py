"""Reads scenario files; a mistake is refused with file, line and what was expected."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from gateway.errors import GatewayError
from gateway.simulator.scenario import (
    Call,
    Hint,
    Kind,
    Language,
    LineKind,
    NoiseKind,
    Part,
    ScenarioFile,
    SoundKind,
)
from gateway.simulator.toml_lines import Key, locate


class ScenarioError(GatewayError):
    """A scenario that cannot be played; the message names file, line and what was expected."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call of a scenario file, and the folder that its file names are relative to."""

    call: Call
    folder: Path

    @property
    def name(self) -> str:
        """The call's name."""
        return self.call.name


def load_scenarios(path: Path) -> list[Scenario]:
    """All calls of a file, or of every ``*.toml`` in a folder and its subfolders, in order.

    Raises:
        ScenarioError: a file cannot be read or has a mistake; lists every file's first mistake.
    """
    if not os.path.exists(path):  # Path.exists() raises if the name is too long
        raise ScenarioError(f"{path}: there is no such file or folder")
    files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise ScenarioError(f"{path}: expected scenario files (*.toml), found none")
    scenarios: list[Scenario] = []
    mistakes: list[str] = []
    for file in files:
        try:
            scenarios += _load_file(file)
        except ScenarioError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ScenarioError("\n".join(mistakes))
    return scenarios


def parse_scenarios(text: str, path: Path) -> list[Scenario]:
    """The calls in a file's text; ``path`` stands in messages and resolves file names.

    Raises:
        ScenarioError: the text has a mistake.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number too long, arrays too deep
        raise ScenarioError(_syntax_error(path, text, str(error))) from error
    try:
        calls = msgspec.convert(_with_defaults(raw), ScenarioFile).call
    except msgspec.ValidationError as error:
        message, _, place = str(error).rpartition(" - at `")
        key = _key_of(place.removesuffix("`")) if message else ()
        raise _mistake(path, text, key, message or str(error)) from error
    for key, message in _mistakes(calls, path.parent):
        raise _mistake(path, text, key, message)
    return [Scenario(call, path.parent) for call in calls]


def _load_file(path: Path) -> list[Scenario]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad writes a BOM
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: expected UTF-8 text: {error}") from error
    return parse_scenarios(text, path)


def _with_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """The file's content with its ``[defaults]`` written into each call that lacks them."""
    defaults, calls = raw.get("defaults", {}), raw.get("call")
    if not isinstance(defaults, dict) or not isinstance(calls, list):
        return raw
    filled = [{**defaults, **call} if isinstance(call, dict) else call for call in calls]
    return {**raw, "call": filled}


def _mistakes(calls: Sequence[Call], folder: Path) -> Iterator[tuple[Key, str]]:
    """What no table can know of itself."""
    seen: set[str] = set()
    for index, call in enumerate(calls):
        at: Key = ("call", index)
        if call.name in seen:
            yield (*at, "name"), f"expected a name of its own, got {call.name!r}"
        seen.add(call.name)
        if call.noise and call.noise.file:
            yield from _missing(folder, call.noise.file, (*at, "noise", "file"))
        for number, turn in enumerate(call.turn):
            if number and turn.before_end_ms is not None:
                # The length of any other reply is known only when it is over.
                message = "expected 'before_end_ms' in the first turn only: over the greeting"
                yield (*at, "turn", number), message
            for part in turn.parts:
                if isinstance(part, Part) and part.file:
                    yield from _missing(folder, part.file, (*at, "turn", number, "say"))


def _missing(folder: Path, name: str, key: Key) -> Iterator[tuple[Key, str]]:
    if not os.path.isfile(folder / name):  # Path.is_file() raises if the name is too long
        yield key, f"expected the name of an existing file, got {name!r}"


def _mistake(path: Path, text: str, key: Key, message: str) -> ScenarioError:
    where = "".join(f"[{k + 1}]" if isinstance(k, int) else f".{k}" for k in key).lstrip(".")
    place = f"{path}:{_line_of(text, key, message)}: "
    if message.startswith("Invalid enum value"):
        message = f"expected one of {', '.join(_choices(key))}, got {message.split(' ', 3)[3]}"
    elif unknown := re.fullmatch(r"Object contains unknown field `(.+)`", message):
        message = f"expected a known key, got {unknown.group(1)!r}"
    message = message[:1].lower() + message[1:]
    return ScenarioError(f"{place}{where}: {message}" if where else f"{place}{message}")


def _line_of(text: str, key: Key, message: str) -> int:
    """The line of the first key that the message names, else of the key itself."""
    line, depth = locate(text, key)
    for name in re.findall(r"['`](\w+)['`]", message):
        named, deeper = locate(text, (*key, name))
        if deeper > len(key):
            return named
    if depth < len(key) and key[0] == "call":
        inherited, found = locate(text, ("defaults", *key[2:]))
        return inherited if found > 1 else line
    return line


def _choices(key: Key) -> tuple[str, ...]:
    match key[-1]:
        case "kind":
            return get_args(NoiseKind if "noise" in key else Kind)
        case "hint":
            return get_args(Hint)
        case "line":
            return get_args(LineKind)
        case "sound":
            return get_args(SoundKind)
        case _:
            return get_args(Language)


def _syntax_error(path: Path, text: str, message: str) -> str:
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    if place is None:
        return f"{path}: expected TOML: {message}"
    line = place.group(1) or str(max(1, len(text.splitlines())))
    return f"{path}:{line}: expected TOML: {message[: place.start()]}"


def _key_of(place: str) -> Key:
    """``$.call[0].turn[2]`` as ("call", 0, "turn", 2)."""
    found = re.findall(r"\[(\d+)\]|([\w-]+)", place.removeprefix("$"))
    return tuple(int(index) if index else name for index, name in found)

"""What all speed benchmarks share: figures of repeated runs, their table, their file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bench.surroundings import describe_machine, describe_models
from gateway.errors import ConfigError, GatewayError
from gateway.settings import Settings
from gateway.thread_budget import ThreadBudget

Report = dict[str, Any]
"""Plain values: numbers, texts, and tables of them."""

_SURROUNDINGS = ("measured_at", "machine", "models")


def spread(values: Sequence[float], digits: int = 1) -> Report:
    """Median and extremes of the same figure in several runs."""
    if not values:
        return {"runs": 0, "median": None, "min": None, "max": None}
    found = {"median": median(values), "min": min(values), "max": max(values)}
    return {"runs": len(values), **{name: round(value, digits) for name, value in found.items()}}


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """How many times larger; None where that cannot be said."""
    return round(numerator / denominator, 2) if numerator is not None and denominator else None


def in_surroundings(settings: Settings, budget: ThreadBudget, figures: Report) -> Report:
    """Figures with the machine, the models and the threads that gave them."""
    models = {**describe_models(settings), "threads_per_engine": asdict(budget)}
    return {**describe_machine(), "models": models, **figures}


def check_place(file: Path | None) -> None:
    """Check that a report can be written to a file, before minutes are spent on it.

    Raises:
        ConfigError: it cannot; one line that says why.
    """
    if file is None:
        return
    try:
        mode, folder = _mode(file), _mode(file.parent)
    except OSError as error:
        raise _unwritable(file, error) from error
    if stat.S_ISDIR(mode):
        raise ConfigError(f"--json {file} is a folder; give the name of a file")
    if not stat.S_ISDIR(folder):
        raise ConfigError(f"--json {file}: there is no folder {file.parent}; make it first")
    if not os.access(file if mode else file.parent, os.W_OK):
        raise ConfigError(f"--json {file} cannot be written; correct the permissions")


def _mode(path: Path) -> int:
    """What it is, and who may use it; 0 if it is not there."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--json {file} cannot be written: {error.strerror or error}")


def write(report: Report, file: Path | None) -> None:
    """Write all of a report to a file, if there is one.

    Raises:
        ConfigError: it cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(file, error) from error


def check_calls(failed: int, placed: int) -> None:
    """Check that every call of a benchmark went well, once its report is out.

    Raises:
        GatewayError: some failed; one line that says how many.
    """
    if failed:
        raise GatewayError(f"{failed} of {placed} calls failed")


def publish(console: Console, title: str, report: Report, file: Path | None) -> None:
    """Write all of the report to ``file``, if there is one, and print the figures."""
    try:
        write(report, file)
    finally:  # what could not be written is shown at least
        _print(console, title, report)


def _print(console: Console, title: str, report: Report) -> None:
    table = Table("figure", title=title)
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("min to max", justify="right")
    for name, value in report.items():
        if name not in _SURROUNDINGS:
            for row in _rows(name, value):
                table.add_row(*row)
    console.print(table)


def figures(report: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a report with their place in it, but for those of the surroundings."""
    for name, value in report.items():
        if not path and name in _SURROUNDINGS:
            continue
        place = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from figures(value, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield place, float(value)


def _rows(name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    label = escape(name.replace("_", " "))
    match value:
        case {"median": middle, "min": low, "max": high}:
            yield label, _cell(middle), f"{_cell(low)} to {_cell(high)}"
        case [Mapping(), *_]:  # too large for a cell; the file has them
            return
        case Mapping():
            for inner, part in value.items():
                yield from _rows(f"{name} {inner}", part)
        case _:
            yield label, _cell(value), ""


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:,.2f}".rstrip("0").rstrip(".")
        case _:
            return escape(str(value))

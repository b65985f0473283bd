"""Two reports of the same benchmark, side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bench.report import Report, figures, ratio
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of both reports; ``ratio`` is second to first, None when the first is 0."""

    name: str
    first: float
    second: float
    ratio: float | None


def compare(first: Path, second: Path) -> list[Comparison]:
    """The figures that both reports have, in the order of the first.

    Raises:
        ConfigError: a file is no report, or they have no figure in common.
    """
    (_, a), (_, b) = _read(first), _read(second)
    shared = [
        Comparison(name, a[name], b[name], ratio(b[name], a[name])) for name in a if name in b
    ]
    if not shared:
        raise ConfigError(f"{first} and {second} have no figure in common: different benchmarks?")
    return shared


def print_comparison(console: Console, rows: list[Comparison], first: str, second: str) -> None:
    """The table; what is the same in both reports is left out."""
    if all(row.first == row.second for row in rows):
        console.print("all figures are the same")
        return
    first, second = escape(first), escape(second)
    table = Table("figure", title=f"{second} / {first}")
    for heading in (first, second, "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.first != row.second:
            times = "-" if row.ratio is None else f"{row.ratio:g}"
            table.add_row(escape(row.name), f"{row.first:g}", f"{row.second:g}", times)
    console.print(table)


def other_surroundings(first: Path, second: Path) -> list[str]:
    """One line for each thing about machine and models that is not the same in both reports.

    Raises:
        ConfigError: a file is no report.
    """
    a, b = (_surroundings(_read(path)[0]) for path in (first, second))
    return [
        f"{name}: {a.get(name, '-')} and {b.get(name, '-')}"
        for name in {**a, **b}
        if a.get(name) != b.get(name)
    ]


def _surroundings(report: Report) -> dict[str, object]:
    parts = {part: report.get(part) for part in ("machine", "models")}
    return {
        f"{part}.{name}": value
        for part, values in parts.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _read(path: Path) -> tuple[Report, dict[str, float]]:
    """A report, and its figures."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(report, dict):
            return report, dict(figures(report))
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path}: expected a report written with --json: {error}") from error
    raise ConfigError(f"{path}: expected a report written with --json, got no JSON object")

"""Two reports of the same benchmark, side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bench.report import figures, ratio
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
    a, b = _figures(first), _figures(second)
    shared = [
        Comparison(name, a[name], b[name], ratio(b[name], a[name])) for name in a if name in b
    ]
    if not shared:
        raise ConfigError(f"{first} and {second} have no figure in common: different benchmarks?")
    return shared


def print_comparison(console: Console, rows: list[Comparison], first: str, second: str) -> None:
    """The table; what is the same in both reports is left out."""
    first, second = escape(first), escape(second)
    table = Table("figure", title=f"{second} / {first}")
    for heading in (first, second, "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.first != row.second:
            times = "-" if row.ratio is None else f"{row.ratio:g}"
            table.add_row(escape(row.name), f"{row.first:g}", f"{row.second:g}", times)
    console.print(table)


def _figures(path: Path) -> dict[str, float]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(report, dict):
            return dict(figures(report))
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path}: expected a report written with --json: {error}") from error
    raise ConfigError(f"{path}: expected a report written with --json, got no JSON object")

"""The turn-taking report in a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.bench.played_call import PlayedCall
from gateway.bench.turns_report import Report
from gateway.logs import one_line

_COUNTS = (
    "turns",
    "false_cutoffs",
    "missed_turns",
    "turns_not_played",
    "interruptions",
    "missed_barge_ins",
    "harmless_overlaps",
    "false_interruptions",
    "resumed",
    "false_turns",
    "history_errors",
    "language_errors",
    "skipped",
)


_TAG_HEADINGS = {
    "turns": "n",
    "p50": "p50",
    "p95": "p95",
    "false_cutoffs": "cut off",
    "missed_turns": "missed",
    "missed_barge_ins": "unheeded",
    "false_interruptions": "stopped",
    "false_turns": "unasked",
    "skipped": "skipped",
}


def print_call(console: Console, call: PlayedCall) -> None:
    """One line as a call ends."""
    if call.run == 0:
        return
    latencies = [o.voice_to_voice_s for o in call.caller.outcomes]
    heard = " ".join("-" if v is None else f"{v * 1000:.0f}" for v in latencies)
    failure = f" [red]{_printable(call.caller.failure)}[/]" if call.caller.failure else ""
    console.print(f"{escape(call.name):28} {heard}{failure}", highlight=False, soft_wrap=True)


def print_report(console: Console, report: Report) -> None:
    """The figures, the kinds of turns, and every turn that went wrong."""
    for row in report["rows"]:
        if row["problems"]:
            console.print(
                f"[yellow]{escape(row['call'])}[/] turn {row['turn']} ({escape(row['tag'])}):"
                f" {_printable('; '.join(row['problems']))}"
                f" [dim]said {escape(repr(row['said']))},"
                f" understood {escape(repr(row['understood']))}[/]",
                highlight=False,
                soft_wrap=True,
            )
    console.print(_latencies(report))
    console.print(_counts(report))
    console.print(_tags(report["by_tag"]))
    for name, failure in report["failed_calls"].items():
        console.print(f"[red]{escape(name)}: {_printable(failure)}[/]", highlight=False)


def _printable(text: str) -> str:
    """A text that may be of another gateway, without power over the terminal."""
    return escape(one_line(text))


def _latencies(report: Report) -> Table:
    table = Table(title="latency, ms")
    table.add_column("")
    for heading in ("n", "p50", "p95", "p99", "max"):
        table.add_column(heading, justify="right")
    rows = {
        "voice to voice": report["voice_to_voice_ms"],
        "decision to audio": report["decision_to_audio_ms"],
        **{f"  {name}": values for name, values in (report["stages"] or {}).items()},
        "barge-in: onset to silence": report["barge_in_stop_ms"],
    }
    for name, values in rows.items():
        if values is not None:
            table.add_row(name, *(_cell(values[key]) for key in ("n", "p50", "p95", "p99", "max")))
    return table


def _counts(report: Report) -> Table:
    table = Table(title="turns")
    table.add_column("")
    table.add_column("count", justify="right")
    for name in _COUNTS:
        table.add_row(name.replace("_", " "), _cell(report[name]))
    for language, wer in report["wer"].items():
        table.add_row(f"word error rate, {language}", "-" if wer is None else f"{wer:.1%}")
    for name, value in report["speculation"].items():
        table.add_row(f"speculation {name}", _cell(value))
    table.add_row("share of answers prepared ahead", _cell(report["speculation_used_rate"]))
    return table


def _tags(by_tag: Report) -> Table:
    table = Table(title="by kind of turn", box=box.SIMPLE, padding=0)
    table.add_column("tag", no_wrap=True)
    for heading in _TAG_HEADINGS.values():
        table.add_column(heading, justify="right")
    for tag, values in by_tag.items():
        table.add_row(escape(tag), *(_cell(values[key]) for key in _TAG_HEADINGS))
    return table


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}"

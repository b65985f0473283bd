"""Prints what a replay found."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway import __version__
from gateway.logs import one_line
from gateway.recording.codec import Recording
from gateway.replay.exact import ExactReplay
from gateway.replay.figures import Figures, Turn

_SAME_TURN_S = 0.3
"""Turns of two runs are the same one if their speech ended this close together."""


def print_recording(console: Console, recording: Recording) -> None:
    """Which call it is, and what the reader should know about the file."""
    header = recording.header
    console.print(
        f"call {_printable(header.call_id)}, {_printable(header.started_at)},"
        f" {recording.duration_s:.1f} s, {len(recording.steps)} inputs,"
        f" recorded by gateway {_printable(header.gateway)}"
    )
    if not recording.complete:
        console.print("[yellow]The recording breaks off: what follows is up to there.[/]")
    if header.gateway != __version__:
        console.print(f"[yellow]This is gateway {__version__}: it may decide otherwise.[/]")


def _printable(text: str) -> str:
    """A text of the recording, which may be a stranger's, without power over the terminal."""
    return escape(one_line(text))


def print_exact(console: Console, result: ExactReplay) -> None:
    """The verdict of an exact replay; a difference as a diff."""
    if result.voiced_otherwise:
        console.print(
            f"[yellow]The voice detector judged {result.voiced_otherwise} frames otherwise, the"
            f" first at {result.first_voiced_otherwise_s:.2f} s; --recorded-voice tests the core"
            " alone.[/]"
        )
    if result.mismatch is None:
        console.print(f"[green]identical:[/] {result.commands} commands, bit for bit")
        return
    console.print(
        f"[bold red]different[/] at {result.mismatch.at_s:.3f} s, input {result.mismatch.step},"
        f" after {result.commands} identical commands:"
    )
    for line in result.mismatch.lines:
        style = {"-": "red", "+": "green"}.get(line[:1])
        console.print(_printable(line), style=style, soft_wrap=True)


def print_what_if(console: Console, recorded: Figures, again: Figures, other: Figures) -> None:
    """Three columns: the call, its simulation as it was, its simulation as it would have been."""
    table = Table("", "recorded", "simulated", "changed", title="What would have changed")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value in _ROWS:
        cells = [value(figures) for figures in (recorded, again, other)]
        style = "bold" if cells[1] != cells[2] else None
        table.add_row(name, *cells, style=style)
    console.print(table)
    _print_turns(console, again, other)
    if _summary(recorded) != _summary(again):
        console.print(
            "[yellow]The simulation under the recorded settings differs from the call itself:"
            " compare the last two columns, not the first.[/]"
        )


def _ms(values: list[float], of: Callable[[list[float]], float]) -> str:
    return f"{of(values):.0f} ms" if values else "-"


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("turns", lambda f: str(len(f.turns))),
    ("turns answered", lambda f: str(len(f.latencies_ms))),
    ("turn over after, median", lambda f: _ms([turn.wait_ms for turn in f.turns], median)),
    ("latency, median", lambda f: _ms(f.latencies_ms, median)),
    ("latency, longest", lambda f: _ms(f.latencies_ms, max)),
    ("cut-offs", lambda f: str(f.cut_offs)),
    ("barge-ins", lambda f: str(f.barge_ins)),
    ("replies paused", lambda f: str(f.paused)),
    ("replies resumed", lambda f: str(f.resumed)),
    ("idle prompts", lambda f: str(f.idle_prompts)),
    ("prepared ahead, wasted", lambda f: f"{f.speculated}, {f.wasted}"),
    ("hung up", lambda f: _printable(f.hung_up) or "-"),
)


def _summary(figures: Figures) -> list[str]:
    """The counts; times of a live call scatter by a few milliseconds."""
    return [value(figures) for _, value in _ROWS if not value(figures).endswith(" ms")]


def _print_turns(console: Console, again: Figures, other: Figures) -> None:
    table = Table("turn ends at", "caller", "latency", "changed", title="Turn by turn")
    left = list(other.turns)
    for turn in again.turns:
        match = min(left, key=lambda t: abs(t.ended_s - turn.ended_s), default=None)
        if match is not None and abs(match.ended_s - turn.ended_s) <= _SAME_TURN_S:
            left.remove(match)
            table.add_row(*_turn(turn), _latency(match), style=_style(turn, match))
        else:
            table.add_row(*_turn(turn), "no such turn", style="bold")
    for turn in left:
        ends, text, latency = _turn(turn)
        table.add_row(ends, text, "no such turn", latency, style="bold")
    console.print(table)


def _turn(turn: Turn) -> tuple[str, str, str]:
    return f"{turn.ended_s:.2f} s", _printable(turn.text), _latency(turn)


def _latency(turn: Turn) -> str:
    return "not answered" if turn.latency_ms is None else f"{turn.latency_ms:.0f} ms"


def _style(turn: Turn, other: Turn) -> str | None:
    return "bold" if (turn.text, _latency(turn)) != (other.text, _latency(other)) else None

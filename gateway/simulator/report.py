"""What is printed about a call: who said what, how long it took, and how well it went."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.audio.pcm import seconds
from gateway.calls.records import TurnLatency, TurnRecord
from gateway.logs import one_line
from gateway.simulator.accuracy import WordErrors, count_word_errors
from gateway.simulator.caller import Exchange
from gateway.simulator.client import CallResult

MAX_WORD_ERROR_RATE = 0.25


@dataclass(frozen=True, slots=True)
class Findings:
    """How one call went.

    Attributes:
        understood: word errors of the caller's transcripts against what was said.
        problems: everything that keeps the call from being a success; empty when it is one.
    """

    understood: WordErrors
    problems: tuple[str, ...]


def examine(result: CallResult, expected_turns: int) -> Findings:
    """Was every turn heard, understood and answered?"""
    problems = [result.failure] if result.failure else []
    for turn in result.turns:
        name = turn.utterance.name if turn.utterance else "greeting"
        if not turn.caller_text:
            problems.append(f"{name}: not heard (no transcript of the caller)")
        if turn.answered_s is None:
            problems.append(f"{name}: not answered (no audio)")
    if len(result.turns) < expected_turns:
        problems.append(f"only {len(result.turns)} of {expected_turns} utterances were spoken")
    understood = count_word_errors(
        (turn.utterance.text, turn.caller_text)
        for turn in result.turns
        if turn.utterance and turn.utterance.text
    )
    if understood.rate > MAX_WORD_ERROR_RATE:
        problems.append(f"not understood: word error rate {understood.rate:.0%}")
    return Findings(understood, tuple(problems))


def print_exchange(console: Console, turn: Exchange, record: TurnRecord | None = None) -> None:
    """Print what both sides said; ``record`` is the gateway's own of this turn, when at hand."""
    if turn.utterance is None:
        _print_line(console, "assistant", turn.assistant_text)
        return
    _print_line(console, "caller", turn.caller_text)
    said = turn.utterance.text
    if said and count_word_errors([(said, turn.caller_text)]).edits:
        _print_note(console, f"said: {said}", "yellow")
    _print_line(console, "assistant", turn.assistant_text)
    _print_note(console, describe_latency(turn, record))


def print_gaps(console: Console, result: CallResult) -> None:
    """Print how often the assistant's audio came too late, if it did."""
    if result.underruns:
        _print_note(
            console, f"{result.underruns} gaps in replies, {result.underrun_s:.2f} s", "red"
        )


def _print_line(console: Console, speaker: str, text: str) -> None:
    style = "bold cyan" if speaker == "caller" else "bold green"
    words = one_line(text) or "(nothing)"
    console.print(Text.assemble((f"{speaker:>9}  ", style), words), soft_wrap=True)


def _print_note(console: Console, text: str, style: str = "dim") -> None:
    console.print(Text(f"{'':11}{text}", style=style), soft_wrap=True)


def describe_latency(turn: Exchange, record: TurnRecord | None) -> str:
    """One line: how long the answer took, at the caller's end and stage by stage."""
    heard = turn.voice_to_voice_s
    if heard is not None:
        parts = [f"answered after {heard * 1000:.0f} ms"]
    else:
        parts = ["cut off" if turn.cut_off else "no answer"]
    if record and record.latency:
        parts.append(_describe_stages(record.latency))
    if record and record.speculation_used:
        parts.append("prepared ahead")
    if record and record.interrupted:
        parts.append("interrupted")
    return "; ".join(parts)


def _describe_stages(latency: TurnLatency) -> str:
    stages = {
        "endpoint": latency.endpoint_ms,
        "stt": latency.stt_ms,
        "chat": latency.chat_ms,
        "tts": latency.tts_ms,
        "send": latency.send_ms,
    }
    return ", ".join(f"{name} {value:.0f}" for name, value in stages.items())


def summary_table() -> Table:
    """An empty table with one row to come for each call."""
    table = Table(title="Demo calls")
    table.add_column("call")
    for heading in ("turns", "caller WER", "round-trip WER", "voice-to-voice", "gaps"):
        table.add_column(heading, justify="right")
    table.add_column("result")
    return table


def add_summary_row(
    table: Table, language: str, result: CallResult, findings: Findings, round_trip: WordErrors
) -> None:
    """Put one call into the table."""
    table.add_row(
        language,
        str(len(result.turns)),
        f"{findings.understood.rate:.1%} of {findings.understood.words}",
        f"{round_trip.rate:.1%} of {round_trip.words}",
        _in_ms(median_latency_s(result)),
        str(result.underruns),
        "[red]failed[/]" if findings.problems else "[green]ok[/]",
    )


def median_latency_s(result: CallResult) -> float | None:
    """Median voice-to-voice latency of the answered turns, at the caller's end."""
    latencies = [t.voice_to_voice_s for t in result.turns if t.voice_to_voice_s is not None]
    return median(latencies) if latencies else None


def _in_ms(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.0f} ms"


def as_plain_values(result: CallResult) -> dict[str, object]:
    """The call as plain values, for ``voice-gateway call --json``."""
    return {
        "callId": result.call_id,
        "language": result.language,
        "greeting": result.greeting.assistant_text if result.greeting else None,
        "turns": [
            {
                "recording": turn.utterance.name if turn.utterance else None,
                "caller": turn.caller_text,
                "assistant": turn.assistant_text,
                "voiceToVoiceMs": _rounded_ms(turn.voice_to_voice_s),
                "replySeconds": round(seconds(turn.audio.size), 3),
            }
            for turn in result.turns
        ],
        "underruns": result.underruns,
        "failure": result.failure,
    }


def _rounded_ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 1)

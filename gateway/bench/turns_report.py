"""Turn-taking in figures: what the played calls come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from gateway.bench.played_call import (
    PlayedCall,
    SpeakingRate,
    history_problems,
    problems_of,
    speaks_wrong_language,
    word_errors,
)
from gateway.bench.statistics import Distribution, distribution, rate
from gateway.simulator.outcome import Outcome

_STAGES = ("endpoint", "stt", "chat", "tts", "send")
_COUNTERS = ("started", "used", "wasted")

Report = dict[str, Any]
"""The plain values that --json writes; docs/scenarios.md lists the keys."""


def turns_report(calls: Sequence[PlayedCall], counters: Mapping[str, int] | None = None) -> Report:
    """All figures over all calls, and one row for each turn.

    Args:
        counters: the gateway's own counters; None of a remote one.
    """
    for call in calls:
        call.settle()
    pace = SpeakingRate(calls)
    pairs = [(call, outcome) for call in calls for outcome in call.caller.outcomes]
    outcomes = [outcome for _, outcome in pairs]
    asked = [outcome for outcome in outcomes if outcome.expects_answer]
    interruptions = [o for o in outcomes if o.over is not None and o.turn.stops]
    harmless = [o for o in outcomes if o.over is not None and not o.turn.stops]
    runs = sorted({call.run for call in calls})
    return {
        "voice_to_voice_ms": _latency(outcomes),
        **_from_records(pairs),
        "turns": len(asked),
        "false_cutoffs": sum(bool(outcome.cutoffs) for outcome in asked),
        "false_cutoff_rate": rate(sum(bool(o.cutoffs) for o in asked), len(asked)),
        "missed_turns": sum(outcome.missed for outcome in asked),
        "turns_not_played": sum(map(_turns_left, calls)),
        "interruptions": len(interruptions),
        "barge_in_stop_ms": distribution(
            [o.stop_s * 1000 for o in interruptions if o.stop_s is not None]
        ),
        "missed_barge_ins": sum(outcome.missed_barge_in for outcome in interruptions),
        "harmless_overlaps": len(harmless),
        "false_interruptions": sum(outcome.false_interruption for outcome in harmless),
        "false_interruption_rate": rate(sum(o.false_interruption for o in harmless), len(harmless)),
        "resumed": sum(outcome.resumed for outcome in harmless),
        "false_turns": sum(outcome.false_turn for outcome in outcomes),
        "wer": _wer(outcomes),
        "speculation": _speculation(counters),
        "history_errors": sum(bool(history_problems(o, call, pace)) for call, o in pairs),
        "language_errors": sum(speaks_wrong_language(outcome) for outcome in outcomes),
        "skipped": sum(outcome.skipped for outcome in outcomes),
        "calls": len(calls),
        "failed_calls": _failures(calls),
        "runs": len(runs),
        "run_spread": _spread([[c for c in calls if c.run == run] for run in runs]),
        "by_tag": _by_tag(outcomes),
        "rows": [_row(call, outcome, pace) for call, outcome in pairs],
    }


def _turns_left(call: PlayedCall) -> int:
    """Turns that the caller never came to, because the call broke off."""
    return len(call.caller.scenario.call.turn) - len(call.caller.outcomes)


def _failures(calls: Sequence[PlayedCall]) -> dict[str, str]:
    """Why calls broke off, by call and run; numbered, as calls of two files may share a name."""
    return {
        f"{number}. {call.name}, run {call.run}": call.caller.failure
        for number, call in enumerate(calls, 1)
        if call.caller.failure
    }


def _latency(outcomes: Sequence[Outcome]) -> Distribution:
    return distribution(
        [o.voice_to_voice_s * 1000 for o in outcomes if o.voice_to_voice_s is not None]
    )


def _from_records(pairs: Sequence[tuple[PlayedCall, Outcome]]) -> Report:
    """What only the gateway itself knows; None of a remote one."""
    if all(call.records is None for call, _ in pairs):
        return {
            "decision_to_audio_ms": None,
            "stages": None,
            "stage_sum_gap_ms": None,
            "speculation_used_rate": None,
        }
    decided: list[float] = []
    stages: dict[str, list[float]] = {name: [] for name in _STAGES}
    used = known = 0
    gaps: list[float] = []
    for call, outcome in pairs:
        record = call.record_of(outcome.answer)
        if record is None or not outcome.expects_answer or outcome.cutoffs:
            continue
        known += 1
        used += record.speculation_used
        if record.decision_to_audio_ms is not None:
            decided.append(record.decision_to_audio_ms)
        if record.latency is not None and outcome.voice_to_voice_s is not None:
            for name in _STAGES:
                stages[name].append(getattr(record.latency, f"{name}_ms"))
            gaps.append(outcome.voice_to_voice_s * 1000 - record.latency.voice_to_voice_ms)
    return {
        "decision_to_audio_ms": distribution(decided),
        "stages": {name: distribution(values) for name, values in stages.items()},
        # The caller's clock against the gateway's: what voice detection and the socket add.
        "stage_sum_gap_ms": distribution(gaps),
        "speculation_used_rate": rate(used, known),
    }


def _speculation(counters: Mapping[str, int] | None) -> dict[str, int | None]:
    if counters is None or not any(f"speculation_{name}" in counters for name in _COUNTERS):
        return dict.fromkeys(_COUNTERS)
    return {name: counters.get(f"speculation_{name}", 0) for name in _COUNTERS}


def _wer(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Word error rate by language; None where no words were to be understood."""
    languages = sorted({outcome.language for outcome in outcomes})
    errors = {
        language: word_errors(o for o in outcomes if o.language == language)
        for language in languages
    }
    return {code: round(e.rate, 4) if e.words else None for code, e in errors.items()}


def _spread(runs: Sequence[Sequence[PlayedCall]]) -> Report | None:
    """How far the runs lie apart; None of a single one."""
    if len(runs) < 2:
        return None
    latencies = [_latency([o for c in run for o in c.caller.outcomes]) for run in runs]
    found: Report = {}
    for name in ("p50", "p95"):
        values = [float(value) for d in latencies if (value := d[name]) is not None]
        if values:
            found[f"voice_to_voice_{name}_ms"] = {
                "median": round(median(values), 1),
                "min": min(values),
                "max": max(values),
            }
    return found


def _by_tag(outcomes: Sequence[Outcome]) -> Report:
    """The figures that say which kind of turn goes wrong."""
    tags = Counter(_tag(outcome) for outcome in outcomes)
    table: Report = {}
    for tag, count in sorted(tags.items()):
        own = [outcome for outcome in outcomes if _tag(outcome) == tag]
        latency = _latency(own)
        table[tag] = {
            "turns": count,
            "p50": latency["p50"],
            "p95": latency["p95"],
            "false_cutoffs": sum(bool(o.cutoffs) and o.expects_answer for o in own),
            "missed_turns": sum(o.missed for o in own),
            "missed_barge_ins": sum(o.missed_barge_in for o in own),
            "false_interruptions": sum(o.false_interruption for o in own),
            "false_turns": sum(o.false_turn for o in own),
            "skipped": sum(o.skipped for o in own),
        }
    return table


def _tag(outcome: Outcome) -> str:
    return outcome.turn.tag or outcome.turn.kind


def _row(call: PlayedCall, outcome: Outcome, pace: SpeakingRate) -> Report:
    record = call.record_of(outcome.answer)
    latency = record.latency if record else None
    return {
        "call": call.name,
        "run": call.run,
        "turn": call.caller.outcomes.index(outcome) + 1,
        "kind": outcome.turn.kind,
        "tag": _tag(outcome),
        "language": outcome.language,
        "said": outcome.turn.said,
        "understood": outcome.caller_text,
        "answer": outcome.answer.text if outcome.answer else None,
        "answer_s": outcome.answer and round(outcome.answer.sent_s, 2),
        "spoken_over": outcome.over.text if outcome.over else None,
        "speech_start_s": round(outcome.speech_start_s, 3),
        "speech_end_s": round(outcome.speech_end_s, 3),
        "voice_to_voice_ms": _ms(outcome.voice_to_voice_s),
        "decision_to_audio_ms": record and _rounded(record.decision_to_audio_ms),
        "stages": latency and {n: _rounded(getattr(latency, f"{n}_ms")) for n in _STAGES},
        "speculation_used": record and record.speculation_used,
        "barge_in_stop_ms": _ms(outcome.stop_s),
        "resumed": outcome.resumed,
        "skipped": outcome.skipped,
        "problems": problems_of(outcome, call, pace),
    }


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

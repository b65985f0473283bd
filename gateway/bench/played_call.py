"""One played scenario with all that is known of it, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.calls.records import TurnRecord
from gateway.simulator.accuracy import WordErrors, count_word_errors, words_of
from gateway.simulator.fake_engines import script_of
from gateway.simulator.outcome import Outcome
from gateway.simulator.reply_track import Reply
from gateway.simulator.scenario_caller import ScenarioCaller

_SENTENCE_END = re.compile(r"[.!?؟…][\"'»”)]*$")

_SLACK_S = 0.6
_SLACK = 0.35
"""Heard words may differ from the played time by a word, and by a voice's changes of pace."""


@dataclass(frozen=True, slots=True)
class PlayedCall:
    """A call that is over.

    Attributes:
        records: the gateway's own records of the call, in order; None of a remote gateway.
        run: number of the run it belongs to, from 1.
    """

    caller: ScenarioCaller
    records: Sequence[TurnRecord] | None
    run: int = 1

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return self.caller.scenario.name

    def record_of(self, reply: Reply | None) -> TurnRecord | None:
        """The gateway's record of a reply: both sides count the transcripts of the assistant."""
        if reply is None or self.records is None:
            return None
        index = reply.transcript
        if index is None and reply is self.caller.track.open:
            index = self.caller.track.transcripts  # cut by the hang-up: told to nobody
        if index is None or index >= len(self.records):
            return None
        return self.records[index]

    def was_cut(self, reply: Reply) -> bool:
        """Did the reply end early? A remote gateway's words tell: a whole reply ends a sentence."""
        if record := self.record_of(reply):
            return record.interrupted
        return not reply.text or not _SENTENCE_END.search(reply.text.strip())

    def settle(self) -> None:
        """Find out for every turn spoken over a reply whether that turn ended the reply."""
        stopped_by: dict[int, Outcome] = {}
        for outcome in self.caller.outcomes:
            reply = outcome.over
            if reply is None:
                continue
            outcome.over_stopped = False
            if self.was_cut(reply) and outcome.speech_start_s <= reply.last_s + 1.0:
                stopped_by[id(reply)] = outcome  # the last one spoken over it
        for outcome in stopped_by.values():
            outcome.over_stopped = True


def word_errors(outcomes: Iterable[Outcome]) -> WordErrors:
    """Word errors over all turns whose words are known and were understood at all."""
    return count_word_errors(
        (o.turn.transcript, o.caller_text)
        for o in outcomes
        if o.turn.transcript and o.expects_answer and not o.missed
    )


class SpeakingRate:
    """Length of the assistant's speech by its text, learned from replies heard to their end."""

    def __init__(self, calls: Iterable[PlayedCall]) -> None:
        self._totals: dict[str, tuple[float, int]] = {}
        for call in calls:
            for reply in call.caller.track.replies:
                if reply.text and not call.was_cut(reply):
                    language = script_of(reply.text)
                    spoken, characters = self._totals.get(language, (0.0, 0))
                    self._totals[language] = (spoken + reply.sent_s, characters + len(reply.text))

    def fits(self, text: str, played_s: float) -> bool:
        """Could these be the words heard in that time? Yes, if the language's pace is unknown."""
        spoken, characters = self._totals.get(script_of(text), (0.0, 0))
        if not characters:
            return True
        expected = len(text) * spoken / characters
        return abs(expected - played_s) <= _SLACK_S + _SLACK * max(expected, played_s)


def history_problems(outcome: Outcome, call: PlayedCall, rate: SpeakingRate) -> list[str]:
    """What is wrong with the words that were told to have been said and heard."""
    problems = []
    over = outcome.over
    if over is not None and outcome.turn.stops and call.was_cut(over):
        if over.text is None and over.sent_s > 2 * _SLACK_S:
            problems.append(f"{over.sent_s:.1f} s of a reply were heard, no words of it told")
        elif over.text and not rate.fits(over.text, over.sent_s):
            problems.append(f"{len(over.text)} characters told for {over.sent_s:.1f} s heard")
    # The answer may well say again what was cut out of the reply before it.
    reply = over or outcome.answer
    told = [outcome.caller_text, (reply and reply.text) or ""]
    words = " ".join(word for text in told for word in words_of(text))
    for text in outcome.turn.expect.history:
        if " ".join(words_of(text)) not in words and not outcome.skipped:
            problems.append(f"not in the history: {text!r}")
    if over is not None and not call.was_cut(over):
        return problems  # all of it was heard: a missed interruption, but a true history
    for text in outcome.turn.expect.not_in_history:
        if " ".join(words_of(text)) in words:
            problems.append(f"in the history, though nobody heard it: {text!r}")
    return problems


def problems_of(outcome: Outcome, call: PlayedCall, rate: SpeakingRate) -> list[str]:
    """Everything that went otherwise than expected, in words."""
    found = {
        "not answered": outcome.missed,
        "cut off": bool(outcome.cutoffs) and outcome.expects_answer,
        "answered without a turn": outcome.false_turn,
        "interruption not noticed": outcome.missed_barge_in,
        "reply stopped for good": outcome.false_interruption,
    }
    problems = [text for text, wrong in found.items() if wrong]
    if outcome.turn.transcript and outcome.expects_answer and not outcome.missed:
        wer = word_errors([outcome]).rate
        if wer > outcome.turn.expect.wer:
            problems.append(f"word error rate {wer:.2f} above {outcome.turn.expect.wer:g}")
    if speaks_wrong_language(outcome):
        problems.append(f"not answered in {outcome.turn.expect.reply_language!r}")
    return problems + history_problems(outcome, call, rate)


def speaks_wrong_language(outcome: Outcome) -> bool:
    """Was it answered in another language than expected?"""
    wanted = outcome.turn.expect.reply_language
    text = outcome.answer.text if outcome.answer else None
    return bool(wanted and text and script_of(text) != wanted)

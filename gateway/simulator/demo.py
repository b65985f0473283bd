"""The demo: bundled callers place real calls through a real socket, one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console
from rich.markup import escape

from gateway.audio.pcm import Samples
from gateway.calls.records import TurnRecord
from gateway.engines.base import TranscribeRequest
from gateway.errors import ConfigError
from gateway.loading import load_transcriber
from gateway.settings import Settings
from gateway.simulator.accuracy import WordErrors, count_word_errors
from gateway.simulator.caller import Exchange, Patience
from gateway.simulator.client import CallResult, place_call
from gateway.simulator.conversations import Conversation
from gateway.simulator.recording import RecordingError, save_stereo
from gateway.simulator.report import (
    add_summary_row,
    examine,
    print_exchange,
    print_gaps,
    summary_table,
)

Listen = Callable[[Samples, str], Awaitable[str]]
"""Audio of the assistant and its language, to the words a recogniser hears in it."""


@asynccontextmanager
async def open_listener(settings: Settings) -> AsyncIterator[Listen]:
    """A recogniser of its own, with the gateway's model, so that no call waits for the demo."""
    recogniser = await load_transcriber(settings)

    async def listen(samples: Samples, language: str) -> str:
        transcript = await recogniser.transcribe(TranscribeRequest(samples, language))
        return transcript.text

    try:
        yield listen
    finally:
        await recogniser.close()


def make_folder(folder: Path) -> None:
    """Make the folder for the recorded calls if it is missing, and try it.

    Raises:
        ConfigError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"calls cannot be saved in {folder} ({error.strerror}); expected a folder that can be "
            "written to: name another one with --save-dir"
        ) from error


class TurnLog:
    """Keeps the gateway's own records of the turns of each call, by turn number, until closed."""

    def __init__(self) -> None:
        self._calls: dict[str, dict[int, TurnRecord]] = {}
        self._closed = False

    def add(self, record: TurnRecord) -> None:
        """Take a record as the gateway finishes a turn; the last one of a turn counts."""
        if not self._closed:
            self._calls.setdefault(record.call_id, {})[record.turn] = record

    def of_call(self, call_id: str) -> Mapping[int, TurnRecord]:
        """The turns of one call; turn 0 is the greeting."""
        return self._calls.get(call_id, {})

    def close(self) -> None:
        """Forget everything, and keep nothing of the calls that still come: those are personal."""
        self._closed = True
        self._calls.clear()


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo calls need.

    Attributes:
        url: where the gateway answers.
        turns: filled by the gateway while the calls run.
        listen: recogniser for the round trip.
        save_dir: folder for ``<language>.wav``, caller left, assistant right.
        patience: how long the callers wait.
    """

    url: str
    turns: TurnLog
    listen: Listen
    save_dir: Path
    console: Console
    patience: Patience | None = None

    async def run(self, conversations: Sequence[Conversation]) -> bool:
        """Place the calls and print them; True when every turn was heard, understood, answered."""
        table = summary_table()
        problems: list[str] = []
        for conversation in conversations:
            result = await self._call(conversation)
            findings = examine(result, len(conversation.lines))
            try:
                self._save(conversation.language, result)
            except RecordingError as error:
                findings = replace(findings, problems=(*findings.problems, str(error)))
            round_trip = await self._round_trip(result)
            add_summary_row(table, conversation.language, result, findings, round_trip)
            problems += [f"{conversation.language}: {problem}" for problem in findings.problems]
        self.console.print()
        self.console.print(table)
        for problem in problems:
            self.console.print(f"[red]{escape(problem)}[/]", highlight=False)
        return not problems

    async def _call(self, conversation: Conversation) -> CallResult:
        language = conversation.language
        self.console.print()
        self.console.rule(f"a call in {language}", style="dim")
        call_id = f"demo-{language}"
        turns = count(1)

        def show(exchange: Exchange) -> None:
            turn = next(turns) if exchange.utterance else 0
            print_exchange(self.console, exchange, self.turns.of_call(call_id).get(turn))

        result = await place_call(
            self.url,
            conversation.recordings(),
            language=language,
            call_id=call_id,
            patience=self.patience,
            on_exchange=show,
        )
        print_gaps(self.console, result)
        return result

    def _save(self, language: str, result: CallResult) -> None:
        path = self.save_dir / f"{language}.wav"
        save_stereo(path, result.caller_track, result.assistant_track)
        self.console.print(f"{'':11}[dim]saved as {escape(str(path))}[/]", highlight=False)

    async def _round_trip(self, result: CallResult) -> WordErrors:
        """What the recogniser hears in the assistant's own voice, against what it meant to say."""
        replies = [*([result.greeting] if result.greeting else []), *result.turns]
        return count_word_errors(
            [
                (reply.assistant_text, await self.listen(reply.audio, result.language))
                for reply in replies
                if reply.assistant_text
            ]
        )

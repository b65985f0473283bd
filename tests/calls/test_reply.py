"""One reply, from the chat model's words to what is fed back to the conversation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

import pytest

from gateway.calls.player import Player
from gateway.calls.records import Stopwatch
from gateway.calls.reply import ReplyTask
from gateway.conversation.commands import Prompt, StartReply, Utterance
from gateway.conversation.events import CoreEvent, ReplyEnded, ReplyFailed, SpeechQueued
from gateway.engines.base import ChatRequest, Priority
from gateway.errors import ChatBusyError
from tests.calls.fakes import FakeChat, FakeSynthesizer, RecordingTransport
from tests.virtual_time import VirtualTimeLoop, run

SAID = (Utterance("caller", "When do you open?"),)


class CrowdedChat(FakeChat):
    """Has no room for guesses, and says so when ``drop`` is set."""

    def __init__(self) -> None:
        super().__init__("From nine.")
        self.asked = asyncio.Event()
        self.drop = asyncio.Event()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        if request.priority is not Priority.FINAL:
            self.requests.append(request)
            self.asked.set()
            await self.drop.wait()
            raise ChatBusyError("busy")
        async for word in super().stream(request):
            yield word


class OvertakenChat(FakeChat):
    """Drops its guess when all words of it have been written."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        async for word in super().stream(request):
            yield word
        raise ChatBusyError("busy")


class DeltaChat(FakeChat):
    """Answers with these deltas, whatever their length."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        for delta in self.replies:
            yield str(delta)


def reply_task(
    chat: FakeChat,
    fed: list[CoreEvent],
    hold: bool,
    *,
    synthesizer: FakeSynthesizer | None = None,
    player: Player | None = None,
) -> ReplyTask:
    clock = asyncio.get_running_loop().time
    return ReplyTask(
        StartReply(1, 1, 1, "en", Prompt(SAID), hold=hold),
        chat=chat,
        request=lambda _, priority: ChatRequest("a", (), priority=priority),
        synthesizer=synthesizer or FakeSynthesizer(),
        player=player or Player(RecordingTransport(clock), clock, fed.append),
        feed=fed.append,
        stopwatch=Stopwatch(),
        clock=clock,
    )


async def failed_guess(chat: CrowdedChat, released: bool) -> CoreEvent:
    """How a guess ends that is dropped when its turn has ended already, or has not."""
    fed: list[CoreEvent] = []
    task = reply_task(chat, fed, hold=True)
    running = asyncio.create_task(task.run())
    await chat.asked.wait()
    if released:
        task.release()
    chat.drop.set()
    await running
    assert len(chat.requests) == 1
    return fed[-1]


@pytest.mark.parametrize("released", [False, True])
def test_a_guess_that_is_dropped_is_told_as_such(released: bool) -> None:
    async def body() -> None:
        failed = await failed_guess(CrowdedChat(), released)
        assert failed == ReplyFailed(1, "busy", gave_way=True)

    asyncio.run(body())


def test_a_reply_to_a_turn_that_is_over_is_no_guess() -> None:
    async def body() -> None:
        fed: list[CoreEvent] = []
        await reply_task(OvertakenChat("Sure. We have nine."), fed, hold=False).run()
        assert fed[-1] == ReplyFailed(1, "busy", gave_way=False)

    asyncio.run(body())


def test_a_guess_dropped_behind_words_that_nobody_reads_yet_fails_while_it_is_one() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        fed: list[CoreEvent] = []
        chat = OvertakenChat("Sure. We have nine. Or ten. Or noon. Or one. Or two. Or three.")
        async with asyncio.timeout(5):
            await reply_task(chat, fed, hold=True).run()
        assert fed[-1] == ReplyFailed(1, "busy", gave_way=True)

    run(main)


def test_a_voice_that_fails_is_not_taken_for_the_chat_model() -> None:
    async def failure(chat: FakeChat) -> CoreEvent:
        fed: list[CoreEvent] = []
        await reply_task(chat, fed, hold=False).run()
        return fed[-1]

    assert asyncio.run(failure(FakeChat("All is broken."))) == ReplyFailed(
        1, "no voice", "tts_unavailable"
    )
    assert asyncio.run(failure(FakeChat(None))) == ReplyFailed(1, "no model", "llm_unavailable")


def test_speech_is_needed_when_what_came_before_it_has_been_heard() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        voice = FakeSynthesizer()
        player = Player(RecordingTransport(loop.time), loop.time, lambda event: None)
        playing = loop.create_task(player.run())
        player.open(1, hold=True)
        chat = FakeChat("We open at nine. We close at five. See you. Goodbye.", delay_s=0.001)
        reply = reply_task(chat, [], True, synthesizer=voice, player=player)
        task = loop.create_task(reply.run())
        await asyncio.sleep(1)
        assert voice.needs == [math.inf, math.inf], "as long as it is a guess"
        player.release(1)
        reply.release()
        await task
        # 400 ms of speech for each of the first sentences, 200 ms for the third.
        assert voice.needs[2:] == pytest.approx([1.8, 2.0])
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)

    run(main)


@pytest.mark.parametrize("rounds", [(40,), (5, 35), (20, 20)])
def test_a_loop_is_cut_off_in_deltas_of_any_length(rounds: tuple[int, ...]) -> None:
    first, *others = (" come" * count for count in rounds)
    fed: list[CoreEvent] = []
    chat = DeltaChat("We open at nine. Please" + first, *others)

    async def body() -> None:
        await reply_task(chat, fed, hold=False).run()

    asyncio.run(body())
    said = [word for event in fed if isinstance(event, SpeechQueued) for word, _ in event.words]
    assert said == "We open at nine. Please".split()
    assert fed[-1] == ReplyEnded(1)


def test_a_reply_ends_where_the_model_begins_the_turn_of_the_caller() -> None:
    class TalkativeChat(FakeChat):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
            yield "We open at nine.<|im_"
            yield "end|>user"
            raise AssertionError("nobody reads on")

    async def body() -> None:
        await reply_task(TalkativeChat(""), fed, hold=False).run()

    fed: list[CoreEvent] = []
    asyncio.run(body())
    said = [word for event in fed if isinstance(event, SpeechQueued) for word, _ in event.words]
    assert said == "We open at nine.".split()
    assert fed[-1] == ReplyEnded(1)


def test_what_is_told_and_spoken_of_a_list_has_no_markup() -> None:
    fed: list[CoreEvent] = []
    voice = FakeSynthesizer()
    chat = DeltaChat("**Great!** We offer:\n\n1. **Cleaning** - $50\n***\n| Filling | $80 |")

    async def body() -> None:
        await reply_task(chat, fed, hold=False, synthesizer=voice).run()

    asyncio.run(body())
    told = ["Great!", "We offer:", "1. Cleaning - $50", "Filling, $80"]
    assert [text for text, _ in voice.spoken] == told
    said = [word for event in fed if isinstance(event, SpeechQueued) for word, _ in event.words]
    assert said == " ".join(told).split()

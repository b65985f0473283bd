"""Which model answers, and what the caller gets, when the local one fails; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from gateway.engines.base import ChatMessage, ChatRequest, EngineLoad, Priority
from gateway.engines.breaker import BreakerPolicy
from gateway.engines.fallback import FallbackChat
from gateway.errors import ChatBusyError, ChatError
from tests.virtual_time import run

T = TypeVar("T")

STEP_S = 0.02
QUESTION = (ChatMessage("system", "Be brief."), ChatMessage("user", "When are you open?"))
ANSWER = "We are open from nine to six."


class ScriptedChat:
    """Writes its reply word by word; ``fails_after`` words it raises, ``hangs_after`` it waits.

    It takes ``fails_s`` to find out that it fails.
    """

    def __init__(self, reply: str = ANSWER, error: str | ChatError = "no model") -> None:
        self.reply = reply
        self.error = error
        self.fails_after: int | None = None
        self.fails_s = 0.0
        self.hangs_after: int | None = None
        self.requests: list[ChatRequest] = []
        self.told: list[str] = []
        self.running = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        self.requests.append(request)
        self.running += 1
        try:
            for index, word in enumerate(self.reply.split(" ")):
                if index == self.fails_after:
                    await asyncio.sleep(self.fails_s)
                    raise self.error if isinstance(self.error, ChatError) else ChatError(self.error)
                if index == self.hangs_after:
                    await asyncio.sleep(1000)
                await asyncio.sleep(STEP_S)
                yield f" {word}" if index else word
        finally:
            self.running -= 1

    def promote(self, call_id: str) -> None:
        self.told.append(f"promote {call_id}")

    def forget(self, call_id: str) -> None:
        self.told.append(f"forget {call_id}")

    async def close(self) -> None:
        self.told.append("close")


class Setup:
    """A fallback over two scripted models, and what it does to one request."""

    def __init__(self) -> None:
        self.local, self.remote = ScriptedChat(), ScriptedChat()
        policy = BreakerPolicy(failures=2, first_wait_s=5)
        self.chat = FallbackChat(self.local, self.remote, first_token_timeout_s=1.0, breaker=policy)

    async def ask(self, priority: Priority = Priority.FINAL) -> str:
        request = ChatRequest("a", QUESTION, priority=priority)
        return "".join([piece async for piece in self.chat.stream(request)])


def play(body: Callable[[Setup], Coroutine[Any, Any, T]]) -> T:
    return run(lambda loop: body(Setup()))


def test_nothing_leaves_the_box_while_the_local_model_works() -> None:
    async def body(setup: Setup) -> None:
        assert await setup.ask() == ANSWER
        assert setup.remote.requests == []

    play(body)


@pytest.mark.parametrize("words", range(7))
def test_a_reply_goes_on_where_the_local_model_died(words: int) -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = words
        assert await setup.ask() == ANSWER
        (asked,) = setup.remote.requests
        begun = asked.messages[len(QUESTION) :]
        # The word that was being written may not be complete: it is left to the remote model.
        expected = " ".join(ANSWER.split(" ")[: max(0, words - 1)])
        assert begun == ((ChatMessage("assistant", expected),) if expected else ())

    play(body)


def test_the_switch_itself_takes_no_time() -> None:
    async def body(setup: Setup) -> float:
        loop = asyncio.get_running_loop()
        setup.local.fails_after = 0
        started = loop.time()
        async with aclosing(setup.chat.stream(ChatRequest("a", QUESTION))) as pieces:
            await anext(pieces)
        return loop.time() - started

    assert play(body) == pytest.approx(STEP_S)


def test_a_remote_model_that_goes_on_without_repeating_is_understood_too() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 4
        setup.remote.reply = "from nine to six."
        assert await setup.ask() == ANSWER

    play(body)


@pytest.mark.parametrize("words", [0, 3])
def test_a_hanging_local_model_is_given_up_after_the_timeout(words: int) -> None:
    async def body(setup: Setup) -> float:
        setup.local.hangs_after = words
        started = asyncio.get_running_loop().time()
        assert await setup.ask() == ANSWER
        assert setup.local.running == 0, "its generation was stopped"
        return asyncio.get_running_loop().time() - started

    assert 1.0 < play(body) < 1.5


def test_a_guess_waits_without_limit_until_its_turn_is_over() -> None:
    async def body(setup: Setup) -> None:
        setup.local.hangs_after = 0
        guess = asyncio.create_task(setup.ask(Priority.SPECULATIVE))
        await asyncio.sleep(30)
        assert setup.remote.requests == []
        setup.chat.promote("a")
        await asyncio.sleep(0.9)
        assert setup.remote.requests == []
        assert await guess == ANSWER
        assert len(setup.remote.requests) == 1

    play(body)


def test_overload_goes_to_the_remote_model_and_does_not_open_the_circuit() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after, setup.local.error = 0, ChatBusyError("busy")
        for _ in range(5):
            assert await setup.ask() == ANSWER
        assert len(setup.local.requests) == 5 and not setup.chat.local_is_down

    play(body)


def test_a_guess_that_the_local_model_drops_for_lack_of_room_does_not_leave_the_box() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after, setup.local.error = 2, ChatBusyError("busy")
        with pytest.raises(ChatError, match="busy"):
            await setup.ask(Priority.SPECULATIVE)
        assert setup.remote.requests == []
        released = asyncio.create_task(setup.ask(Priority.SPECULATIVE))
        await asyncio.sleep(STEP_S)
        setup.chat.promote("a")
        assert await released == ANSWER
        assert len(setup.remote.requests) == 1

    play(body)


def test_a_local_model_that_dies_inside_a_tool_call_swallows_nothing_of_the_rest() -> None:
    async def body(setup: Setup) -> None:
        setup.local.reply = 'One moment. <tool_call> {"name": "book_appointment", "arguments": {}}'
        setup.local.fails_after = 5
        setup.remote.reply = "I will book that for you."
        assert await setup.ask() == "One moment. I will book that for you."

    play(body)


def test_a_dead_local_model_is_left_alone_then_probed_and_taken_back() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        for _ in range(5):
            assert await setup.ask() == ANSWER
        assert len(setup.local.requests) == 2 and setup.chat.local_is_down
        setup.local.fails_after = None
        await asyncio.sleep(6)
        assert await setup.ask() == ANSWER
        assert len(setup.local.requests) == 3 and not setup.chat.local_is_down
        assert len(setup.remote.requests) == 5

    play(body)


def test_a_model_that_always_dies_in_mid_reply_is_left_alone() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 3
        for _ in range(5):
            assert await setup.ask() == ANSWER
        assert len(setup.local.requests) == 2

    play(body)


def test_a_caller_who_interrupts_says_nothing_about_the_model() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        setup.local.fails_after = None
        async with aclosing(setup.chat.stream(ChatRequest("a", QUESTION))) as pieces:
            await anext(pieces)
        assert setup.local.running == 0
        setup.local.fails_after = 0
        await setup.ask()
        assert not setup.chat.local_is_down, "the failures were not in a row"

    play(body)


def test_an_interrupted_probe_is_followed_by_another() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        await setup.ask()
        setup.local.fails_after, setup.local.hangs_after = None, 0
        await asyncio.sleep(6)
        probe = asyncio.create_task(setup.ask())
        await asyncio.sleep(0.5)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        setup.local.hangs_after = None
        assert await setup.ask() == ANSWER
        assert not setup.chat.local_is_down

    play(body)


def test_a_probe_for_which_there_is_no_room_is_followed_by_another() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        await setup.ask()
        await asyncio.sleep(6)
        setup.local.error = ChatBusyError("busy")
        assert await setup.ask() == ANSWER
        assert setup.chat.local_is_down
        setup.local.fails_after = None
        assert await setup.ask() == ANSWER
        assert not setup.chat.local_is_down

    play(body)


def test_a_reply_that_breaks_off_while_the_local_model_is_left_alone_is_not_begun_again() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        await setup.ask()
        setup.local.fails_after, setup.remote.fails_after = None, 3
        setup.remote.error = "no network"
        said = []
        with pytest.raises(ChatError, match="no network"):
            async for piece in setup.chat.stream(ChatRequest("a", QUESTION)):
                said.append(piece)
        assert "".join(said) == "We are open"
        assert len(setup.local.requests) == 2

    play(body)


def test_load_is_that_of_the_local_model_unless_it_is_left_alone() -> None:
    class MeasuredChat(ScriptedChat):
        current_load = EngineLoad(2, 0.5, 0.1)

    async def body(setup: Setup) -> None:
        assert setup.chat.current_load == EngineLoad(), "it does not tell"
        local = MeasuredChat()
        chat = FallbackChat(local, setup.remote, first_token_timeout_s=1.0)
        assert chat.current_load == MeasuredChat.current_load
        local.fails_after = 0
        for _ in range(BreakerPolicy().failures):
            assert [piece async for piece in chat.stream(ChatRequest("a", QUESTION))]
        assert chat.current_load == EngineLoad()

    play(body)


def test_the_local_model_is_asked_after_all_when_the_remote_one_cannot_be_reached() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        await setup.ask()
        assert setup.chat.local_is_down
        setup.local.fails_after, setup.remote.fails_after = None, 0
        assert await setup.ask() == ANSWER

    play(body)


def test_a_reply_promoted_in_the_meantime_is_no_guess_for_the_local_model_asked_after_all() -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = 0
        await setup.ask()
        await setup.ask()
        setup.local.fails_after, setup.local.hangs_after = None, 0
        setup.remote.fails_after, setup.remote.fails_s = 0, 0.5
        guess = asyncio.create_task(setup.ask(Priority.SPECULATIVE))
        await asyncio.sleep(0.1)
        setup.chat.promote("a")
        with pytest.raises(ChatError, match="no token for 1 s"):
            await guess
        assert setup.local.requests[-1].priority is Priority.FINAL

    play(body)


@pytest.mark.parametrize("words", [0, 4])
def test_the_error_names_both_failures(words: int) -> None:
    async def body(setup: Setup) -> None:
        setup.local.fails_after = words
        setup.remote.fails_after, setup.remote.error = 0, "no network"
        with pytest.raises(ChatError, match="both chat models failed: no model; no network"):
            await setup.ask()

    play(body)


def test_both_models_are_told_about_the_call() -> None:
    async def body(setup: Setup) -> None:
        setup.chat.promote("a")
        setup.chat.forget("a")
        await setup.chat.close()
        assert setup.local.told == setup.remote.told == ["promote a", "forget a", "close"]

    play(body)

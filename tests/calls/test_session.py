from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Coroutine

import numpy as np
import pytest

from gateway.calls.records import TurnRecord
from gateway.calls.session import CallServices, CallSession
from gateway.conversation.history import CUT_OFF
from gateway.conversation.policy import Policy
from gateway.engines.base import Priority, TranscribeRequest, Transcript
from gateway.events import AudioReceived, CallEnded, CallStarted
from tests.calls.fakes import (
    FakeChat,
    FakeSynthesizer,
    FakeTranscriber,
    RecordingTransport,
)
from tests.conversation.driver import GREETING, NO_GREETING, is_voiced
from tests.virtual_time import VirtualTimeLoop, run

VOICE = np.random.default_rng(1).normal(0, 2000, 320).astype(np.int16)
QUIET = np.zeros(320, dtype=np.int16)


class Call:
    """A session with its far side: the caller's line is live in virtual real time."""

    def __init__(
        self,
        loop: VirtualTimeLoop,
        transcriber: FakeTranscriber,
        chat: FakeChat,
        policy: Policy = NO_GREETING,
    ) -> None:
        self.records: list[TurnRecord] = []
        self.transcriber, self.chat, self.synthesizer = transcriber, chat, FakeSynthesizer()
        self.transport = RecordingTransport(loop.time)
        self.counters: Counter[str] = Counter()
        self.may_speculate = self.may_send_partials = True
        self.session = CallSession(
            "c1",
            self.transport,
            CallServices(
                transcriber=transcriber,
                chat=chat,
                synthesizer=self.synthesizer,
                system_prompt="You are the receptionist.",
                policy=policy,
                voice_detector=lambda: is_voiced,
                max_tokens=50,
                temperature=0.0,
                on_turn=self.records.append,
                counters=self.counters,
                clock=loop.time,
                may_speculate=lambda: self.may_speculate,
                may_send_partials=lambda: self.may_send_partials,
            ),
        )
        self.task = loop.create_task(self.session.run())
        self.session.deliver(CallStarted())

    async def say(self, ms: int) -> None:
        await self._send(VOICE, ms)

    async def silence(self, ms: int) -> None:
        await self._send(QUIET, ms)

    async def _send(self, frame: np.ndarray[tuple[int], np.dtype[np.int16]], ms: int) -> None:
        for _ in range(ms // 20):
            await asyncio.sleep(0.02)
            self.session.deliver(AudioReceived(frame))

    async def end(self) -> None:
        self.session.deliver(CallEnded("closed"))
        await asyncio.wait_for(self.task, 1)


def converse(
    body: Callable[[Call], Coroutine[None, None, None]],
    *,
    texts: tuple[str | None, ...] = ("When do you open?",),
    replies: tuple[str | None, ...] = ("We open at nine. Please come.",),
    policy: Policy = NO_GREETING,
) -> None:
    """Run a call in virtual time, hang up, and check that nothing is left of it."""

    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, FakeTranscriber(*texts), FakeChat(*replies), policy)
        await body(call)
        await call.end()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert call.chat.running == 0
        assert call.chat.forgotten == ["c1"]

    run(main)


def test_turn_is_heard_understood_and_answered_in_order() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(3000)
        assert call.transport.transcripts == [
            ("caller", "When do you open?"),
            ("assistant", "We open at nine. Please come."),
        ]
        assert call.transport.sent_s == pytest.approx(0.6)
        (request,) = call.chat.requests
        assert [(m.role, m.content) for m in request.messages] == [
            ("system", "You are the receptionist."),
            ("user", "When do you open?"),
        ]
        assert call.chat.promoted == ["c1"]

    converse(body)


def test_words_of_a_long_turn_are_told_while_it_goes_on_to_whoever_wants_them() -> None:
    async def body(call: Call) -> None:
        call.transport.wants_partials = True
        await call.say(4500)
        assert call.transport.partials == ["I would like", "I would like to book"]
        await call.silence(3000)
        assert call.transport.transcripts[0] == ("caller", "I would like to book it.")
        kinds = [request.priority for request in call.transcriber.requests]
        assert kinds == [Priority.PARTIAL] * 3 + [Priority.FINAL]

    said = (
        "I would like",
        "I would like to book",
        "I would like to book a",
        "I would like to book it.",
    )
    converse(body, texts=said)


@pytest.mark.parametrize(("wanted", "time_for_it"), [(False, True), (True, False)])
def test_no_partial_is_recognised_unwanted_or_under_load(wanted: bool, time_for_it: bool) -> None:
    async def body(call: Call) -> None:
        call.transport.wants_partials, call.may_send_partials = wanted, time_for_it
        await call.say(4500)
        await call.silence(3000)
        assert [request.priority for request in call.transcriber.requests] == [Priority.FINAL]

    converse(body)


def test_a_partial_that_fails_costs_the_call_nothing() -> None:
    async def body(call: Call) -> None:
        call.transport.wants_partials = True
        await call.say(2500)
        await call.silence(3000)
        assert call.transport.partials == []
        assert call.transport.transcripts[0] == ("caller", "When do you open?")

    converse(body, texts=(None, "When do you open?"))


def test_stages_of_a_turn_add_up_to_the_measured_gap() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        spoke_until = asyncio.get_running_loop().time()
        await call.silence(3000)
        (record,) = call.records
        assert record.latency is not None
        gap_ms = (call.transport.audio[0][0] - spoke_until) * 1000
        assert record.latency.voice_to_voice_ms == pytest.approx(gap_ms, abs=1)
        assert record.latency.stt_ms == pytest.approx(50, abs=1)
        assert record.speculation_used
        assert record.decision_to_audio_ms == pytest.approx(0, abs=1)
        assert record.caller_text == "When do you open?"

    converse(body)


def test_slow_recogniser_shows_in_its_own_stage_only() -> None:
    async def body(call: Call) -> None:
        call.transcriber.delay_s = 1.0
        await call.say(800)
        await call.silence(3000)
        (record,) = call.records
        assert record.latency is not None
        assert record.latency.stt_ms == pytest.approx(1000, abs=1)
        assert record.latency.endpoint_ms == pytest.approx(200, abs=25)
        assert not record.speculation_used

    converse(body)


def test_reply_is_prepared_but_not_heard_before_the_turn_is_over() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(420)
        assert call.synthesizer.spoken
        assert call.transport.audio == []

    converse(body)


def test_under_load_a_reply_is_not_prepared_before_the_turn_is_over() -> None:
    async def body(call: Call) -> None:
        call.may_speculate = False
        await call.say(800)
        await call.silence(300)
        assert len(call.transcriber.requests) == 1
        assert (call.chat.requests, call.synthesizer.spoken) == ([], [])
        await call.silence(3000)
        assert call.transport.transcripts[-1] == ("assistant", "We open at nine. Please come.")
        assert call.chat.requests[0].priority is Priority.FINAL
        (record,) = call.records
        assert not record.speculation_used
        assert record.caller_text == "When do you open?"
        assert record.latency is not None
        assert record.latency.chat_ms == pytest.approx(20 * 4, abs=2), "four words of a clause"
        assert record.latency.endpoint_ms > 200
        assert call.counters == {"speculation_skipped": 1}

    converse(body)


def test_a_reply_that_waits_for_the_end_of_its_turn_is_dropped_when_the_caller_goes_on() -> None:
    async def body(call: Call) -> None:
        call.may_speculate = False
        await call.say(800)
        await call.silence(260)
        call.may_speculate = True
        await call.say(800)
        await call.silence(3000)
        assert len(call.chat.requests) == 1
        assert call.counters["speculation_skipped"] == 1
        assert call.counters["speculation_used"] == 1
        assert call.counters["speculation_wasted"] == 0

    converse(body, texts=("When do you", "When do you open?"))


def test_barge_in_silences_within_the_lead_and_the_next_prompt_holds_heard_words_only() -> None:
    words = " ".join(f"w{i}" for i in range(40)) + "."

    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(1500)
        onset = asyncio.get_running_loop().time()
        await call.say(600)
        last_sent = call.transport.audio[-1][0]
        assert last_sent - onset <= 0.25
        await call.silence(1500)
        told = call.chat.requests[-1].messages[2].content
        assert told.endswith(CUT_OFF), "the model is told that it was interrupted"
        heard = told.removesuffix(CUT_OFF).split()
        assert 5 <= len(heard) < 20
        assert heard == words.split()[: len(heard)]
        assert call.transport.transcripts[1] == ("assistant", " ".join(heard))
        assert call.records[0].interrupted

    converse(body, texts=("Tell me.", "Stop."), replies=(words,))


def test_greeting_comes_first_and_is_part_of_the_conversation() -> None:
    async def body(call: Call) -> None:
        await call.silence(1000)
        assert call.transport.transcripts == [("assistant", "Hello.")]
        await call.say(800)
        await call.silence(2000)
        roles = [m.role for m in call.chat.requests[0].messages]
        assert roles == ["system", "assistant", "user"]

    converse(body, policy=GREETING)


@pytest.mark.parametrize(
    ("texts", "replies"),
    [((None, None, "Hello?"), ("Yes.",)), (("Hello?", "Hello?"), (None, None, "Yes."))],
    ids=["recogniser", "chat model"],
)
def test_engine_failure_is_apologised_for_and_the_call_goes_on(
    texts: tuple[str | None, ...], replies: tuple[str | None, ...]
) -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(3000)
        assert ("assistant", "Sorry.") in call.transport.transcripts
        await call.say(800)
        await call.silence(3000)
        assert call.transport.transcripts[-2:] == [("caller", "Hello?"), ("assistant", "Yes.")]

    converse(body, texts=texts, replies=replies)


def test_reply_that_runs_into_a_loop_ends_before_it_and_stops_the_chat_model() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(6000)
        assert call.transport.transcripts[-1] == ("assistant", "We open at nine. Please")
        assert call.chat.running == 0

    converse(body, replies=("We open at nine. Please" + " come" * 400,))


def test_reply_that_is_nothing_but_a_loop_is_apologised_for() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(6000)
        assert call.transport.transcripts[-1] == ("assistant", "Sorry.")

    converse(body, replies=("come " * 400,))


def test_voice_that_fails_twice_leaves_the_call_open() -> None:
    policy = dataclasses.replace(
        NO_GREETING,
        phrases={"en": dataclasses.replace(NO_GREETING.phrases["en"], apology="broken")},
    )

    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(3000)
        assert call.transport.audio == []
        await call.say(800)
        await call.silence(3000)
        assert call.transport.transcripts[-1] == ("assistant", "It works.")

    converse(body, texts=("One.", "Two."), replies=("broken", "broken", "It works."), policy=policy)


def test_call_that_ends_in_mid_reply_leaves_nothing_running() -> None:
    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(700)
        assert call.transport.audio

    converse(body, replies=(" ".join(f"number {n}." for n in range(75)),))


def test_speech_that_is_heard_much_later_is_not_synthesised_before_others_need_the_voice() -> None:
    two_seconds = range(20)
    sentences = [" ".join(f"word{n}{k}" for k in two_seconds) + "." for n in range(8)]

    async def body(call: Call) -> None:
        await call.say(800)
        await call.silence(3000)
        heard_s = call.transport.sent_s
        spoken_s = sum(0.1 * len(text.split()) for text, _ in call.synthesizer.spoken)
        assert heard_s > 1.5
        assert spoken_s - heard_s < 9, "four seconds, and the two sentences that are in hand"
        await call.silence(16_000)
        assert call.transport.sent_s == pytest.approx(16.0), "and all of it is heard"

    converse(body, replies=(" ".join(sentences),))


def test_recognition_that_a_longer_turn_makes_superfluous_is_given_up() -> None:
    class Slow(FakeTranscriber):
        def __init__(self) -> None:
            super().__init__("I would like to book.")
            self.given_up = 0

        async def transcribe(self, request: TranscribeRequest) -> Transcript:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                self.given_up += 1
                raise
            return await super().transcribe(request)

    async def main(loop: VirtualTimeLoop) -> None:
        slow = Slow()
        call = Call(loop, slow, FakeChat("Of course."))
        for _ in range(3):
            await call.say(600)
            await call.silence(200)
        await call.silence(4000)
        assert (slow.given_up, len(slow.requests)) == (2, 1)
        assert call.transport.transcripts[0] == ("caller", "I would like to book.")
        await call.end()

    run(main)


def test_call_that_ends_while_engines_work_leaves_nothing_running() -> None:
    async def body(call: Call) -> None:
        call.transcriber.delay_s = 30
        await call.say(800)
        await call.silence(300)

    converse(body)


def test_drained_call_finishes_its_reply_and_ends_by_itself() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, FakeTranscriber("Hi."), FakeChat("One two three four five six."))
        await call.say(800)
        await call.silence(700)
        call.session.drain()
        assert not call.task.done()
        await asyncio.wait_for(call.task, 2)
        assert call.transport.transcripts[-1] == ("assistant", "One two three four five six.")

    run(main)


def test_drained_idle_call_ends_at_once() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, FakeTranscriber(), FakeChat("x"))
        await call.silence(200)
        call.session.drain()
        await asyncio.wait_for(call.task, 0.1)

    run(main)


def test_drained_call_ends_when_recognition_finds_nothing_though_its_client_is_silent() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, FakeTranscriber("", delay_s=3.0), FakeChat("x"))
        await call.say(800)
        await call.silence(3000)
        call.session.drain()
        await asyncio.wait_for(call.task, 0.5)

    run(main)


def test_call_ends_with_its_goodbye_though_that_fails_and_its_client_is_silent() -> None:
    phrases = dataclasses.replace(NO_GREETING.phrases["en"], goodbye="broken")
    patience = dataclasses.replace(NO_GREETING.patience, max_call_ms=1000)
    policy = dataclasses.replace(NO_GREETING, phrases={"en": phrases}, patience=patience)

    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, FakeTranscriber(), FakeChat("x"), policy)
        await asyncio.wait_for(call.task, 5)

    run(main)


def test_bug_in_an_engine_ends_its_call_loudly() -> None:
    class Broken(FakeTranscriber):
        async def transcribe(self, request: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    async def main(loop: VirtualTimeLoop) -> None:
        call = Call(loop, Broken(), FakeChat("x"))
        await call.say(800)
        await call.silence(300)
        with pytest.raises(ExceptionGroup):
            await call.task
        assert call.chat.forgotten == ["c1"]

    run(main)


def test_hung_recognition_ends_in_an_apology_and_the_next_turn_is_heard() -> None:
    async def body(call: Call) -> None:
        call.transcriber.delay_s = 1000.0
        await call.say(800)
        await call.silence(25_000)
        assert len(call.transcriber.requests) == 1
        assert call.transport.transcripts == [("assistant", "Sorry.")]
        call.transcriber.delay_s = 0.05
        await call.say(800)
        await call.silence(3000)
        assert call.transport.transcripts[1] == ("caller", "When do you open?")

    converse(body)


def test_late_reply_is_preceded_by_an_acknowledgement_which_counts_as_no_answer() -> None:
    phrases = dataclasses.replace(NO_GREETING.phrases["en"], acknowledgement="One moment please.")
    policy = dataclasses.replace(NO_GREETING, phrases={"en": phrases})

    async def body(call: Call) -> None:
        call.chat.delay_s = 1.0
        await call.say(800)
        await call.silence(5500)
        assert [text for text, _ in call.synthesizer.spoken] == ["One moment please.", "At nine."]
        assert call.transport.transcripts[-1] == ("assistant", "At nine.")
        (record,) = call.records
        assert record.latency is not None
        assert record.latency.chat_ms == pytest.approx(2000, abs=5)
        assert record.latency.send_ms == pytest.approx(0, abs=5)

    converse(body, replies=("At nine.",), policy=policy)


LONG_REPLY = " ".join(f"w{i}" for i in range(40)) + "."


def test_interruption_drops_the_audio_of_its_reply_that_still_waits() -> None:
    async def body(call: Call) -> None:
        drops = call.transport.drops
        await call.say(800)
        await call.silence(1500)
        assert drops == []
        await call.say(600)
        await call.silence(1500)
        assert call.records[0].interrupted
        assert len(drops) == 1
        assert call.transport.audio[-1][0] > drops[0], "the next reply is not held up"

    converse(body, texts=("Tell me.", "Stop."), replies=(LONG_REPLY,))


def test_pause_drops_nothing_that_waits() -> None:
    async def body(call: Call) -> None:
        drops = call.transport.drops
        await call.say(800)
        await call.silence(1500)
        await call.say(400)
        await call.silence(6000)
        assert call.counters["replies_resumed"] == 1
        assert drops == []

    converse(body, texts=("Tell me.", "Mm-hm."), replies=(LONG_REPLY,))


def test_reply_that_was_never_sent_drops_nothing_of_the_one_before_it() -> None:
    async def body(call: Call) -> None:
        drops = call.transport.drops
        await call.say(800)
        await call.silence(3000)
        await call.say(800)
        await call.silence(420)
        await call.say(800)
        await call.silence(3000)
        assert call.counters["speculation_wasted"] == 1
        assert drops == []

    converse(body, texts=("When?", "And", "And on Sunday?"), replies=("At nine.",))

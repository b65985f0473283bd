from __future__ import annotations

import asyncio
import math
from collections import deque

import numpy as np
import pytest

from gateway.audio.pcm import Samples
from gateway.calls.player import Player
from gateway.conversation.events import CoreEvent, PlayoutStarted, SpeechSent
from tests.calls.fakes import RecordingTransport
from tests.virtual_time import VirtualTimeLoop, run


def speech(ms: int) -> Samples:
    return np.ones(ms * 16, dtype=np.int16)


class Stage:
    """A running player, its transport and what it fed."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.transport = RecordingTransport(loop.time)
        self.fed: list[CoreEvent] = []
        self.player = Player(self.transport, loop.time, self.fed.append)
        self._task = loop.create_task(self.player.run())

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_audio_leaves_in_real_time_and_never_more_than_the_lead_ahead() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        await stage.player.enqueue(1, speech(3000))
        await asyncio.sleep(1.0)
        assert 1.0 <= stage.transport.sent_s <= 1.1
        await asyncio.sleep(5)
        assert stage.transport.sent_s == pytest.approx(3.0)
        assert stage.transport.most_ahead_s() <= 0.1 + 1e-9
        await stage.end()

    run(main)


@pytest.mark.parametrize(
    ("pieces", "chunks"),
    [
        ([95], [40, 35, 20]),
        ([40, 5], [25, 20]),
        ([5, 40], [25, 20]),
        ([7, 7, 7], [21]),
        ([3, 200, 3], [40, 40, 40, 40, 26, 20]),
        ([60, 30, 25], [40, 20, 30, 25]),
        ([15], [15]),
    ],
)
def test_speech_of_any_length_leaves_in_chunks_of_twenty_to_forty_milliseconds(
    pieces: list[int], chunks: list[int]
) -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=True)
        for ms in pieces:
            await stage.player.enqueue(1, speech(ms))
        stage.player.release(1)
        await asyncio.sleep(1)
        assert [count / 16 for _, count in stage.transport.audio] == chunks
        told = [e.samples / 16 for e in stage.fed if isinstance(e, SpeechSent)]
        assert told == chunks and stage.player.needed_at(1) == pytest.approx(sum(pieces) / 1000)
        assert stage.transport.most_ahead_s() <= 0.1 + 1e-9 and stage.player.underruns == 0
        await stage.end()

    run(main)


def test_short_speech_does_not_wait_for_more() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        await stage.player.enqueue(1, speech(10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert stage.transport.audio == [(0.0, 160)]
        await stage.end()

    run(main)


def test_held_reply_is_silent_until_released_and_then_starts_at_once() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=True)
        await stage.player.enqueue(1, speech(200))
        await asyncio.sleep(1)
        assert stage.transport.audio == []
        stage.player.release(1)
        await asyncio.sleep(1)
        assert stage.transport.audio[0][0] == 1.0
        assert stage.fed[0] == PlayoutStarted(1)
        assert sum(e.samples for e in stage.fed if isinstance(e, SpeechSent)) == 3200
        await stage.end()

    run(main)


def test_clear_stops_the_sound_and_drops_late_speech_of_the_same_reply() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        await stage.player.enqueue(1, speech(2000))
        await asyncio.sleep(0.5)
        stage.player.clear()
        sent = stage.transport.sent_s
        await stage.player.enqueue(1, speech(2000))
        await asyncio.sleep(2)
        assert stage.transport.sent_s == sent <= 0.6
        await stage.end()

    run(main)


def test_speech_of_an_old_generation_is_dropped() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        stage.player.open(2, hold=False)
        await stage.player.enqueue(1, speech(500))
        await asyncio.sleep(1)
        assert stage.transport.audio == []
        await stage.end()

    run(main)


def test_gap_inside_a_reply_is_counted_once_and_playout_goes_on() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        await stage.player.enqueue(1, speech(200))
        await asyncio.sleep(1)
        await stage.player.enqueue(1, speech(200))
        stage.player.complete(1)
        await asyncio.sleep(1)
        assert stage.player.underruns == 1
        assert stage.transport.sent_s == pytest.approx(0.4)
        assert stage.transport.most_ahead_s() <= 0.1 + 1e-9
        await stage.end()

    run(main)


def test_the_log_tells_the_first_gap_of_each_reply(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        for generation in (1, 2):
            stage.player.open(generation, hold=False)
            for _ in range(5):
                await stage.player.enqueue(generation, speech(200))
                await asyncio.sleep(1)
        assert stage.player.underruns == 8
        await stage.end()

    with caplog.at_level("INFO", logger="gateway.calls.player"):
        run(main)
    assert [record.getMessage() for record in caplog.records] == [
        "playout underrun: speech came 800 ms late"
    ] * 2


def test_pause_between_replies_is_no_underrun() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        for generation in (1, 2):
            stage.player.open(generation, hold=False)
            await stage.player.enqueue(generation, speech(200))
            stage.player.complete(generation)
            await asyncio.sleep(1)
        assert stage.player.underruns == 0
        await stage.end()

    run(main)


def test_synthesis_waits_while_far_ahead_of_playout() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        for _ in range(2):
            await stage.player.enqueue(1, speech(3000))
        waiting = loop.create_task(stage.player.enqueue(1, speech(1000)))
        await asyncio.sleep(1.5)
        assert not waiting.done()
        await asyncio.sleep(1)
        assert waiting.done()
        await stage.end()

    run(main)


def test_clear_frees_a_synthesis_that_waits_for_room() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=True)
        await stage.player.enqueue(1, speech(10_000))
        waiting = loop.create_task(stage.player.enqueue(1, speech(1000)))
        await asyncio.sleep(0.1)
        stage.player.clear()
        await asyncio.wait_for(waiting, 1)
        await stage.end()

    run(main)


def test_pause_fades_out_and_resume_goes_on_from_the_very_sample() -> None:
    class Keeping(RecordingTransport):
        heard: list[Samples] = []

        def send_audio(self, samples: Samples) -> None:
            super().send_audio(samples)
            self.heard.append(samples)

    async def main(loop: VirtualTimeLoop) -> None:
        transport = Keeping(loop.time)
        fed: list[CoreEvent] = []
        player = Player(transport, loop.time, fed.append)
        task = loop.create_task(player.run())
        speech = np.arange(1, 16_001, dtype=np.int16)
        player.open(1, hold=False)
        await player.enqueue(1, speech)
        await asyncio.sleep(0.3)
        sent = sum(len(s) for s in transport.heard)
        player.pause(1)
        fade = transport.heard[-1].astype(int)
        assert len(fade) == 320
        assert abs(fade[-1]) < abs(fade[0]) / 50
        await asyncio.sleep(1)
        assert sum(len(s) for s in transport.heard) == sent + 320
        player.resume(1)
        resumed = len(transport.heard)
        await asyncio.sleep(2)
        rest = np.concatenate(transport.heard[resumed:])
        assert len(rest) == len(speech) - sent, "nothing is skipped and nothing is said twice"
        assert np.array_equal(rest[320:], speech[sent + 320 :])
        assert rest[0] == 0 or rest[0] < speech[sent] / 50
        assert player.underruns == 0
        assert sum(e.samples for e in fed if isinstance(e, SpeechSent)) == len(speech)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main)


def test_fades_of_several_pauses_do_not_add_up_to_a_longer_lead() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        await stage.player.enqueue(1, speech(3000))
        for _ in range(5):
            await asyncio.sleep(0.05)
            stage.player.pause(1)
            await asyncio.sleep(0.05)
            stage.player.resume(1)
        await asyncio.sleep(5)
        assert 0.1 < stage.transport.most_ahead_s() <= 0.12 + 1e-9, "the lead and one fade"
        await stage.end()

    run(main)


def test_interlude_is_played_before_a_late_reply_and_is_no_underrun() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        stage.player.open(1, hold=False)
        assert stage.player.interlude(1, speech(300))
        await asyncio.sleep(2)
        await stage.player.enqueue(1, speech(200))
        stage.player.complete(1)
        await asyncio.sleep(1)
        assert stage.transport.sent_s == pytest.approx(0.5)
        assert stage.player.underruns == 0
        assert not stage.player.interlude(1, speech(300)), "the reply is there already"
        await stage.end()

    run(main)


def test_more_speech_is_needed_when_the_ear_runs_dry() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        await asyncio.sleep(1)
        stage.player.open(1, hold=False)
        assert stage.player.needed_at(1) <= loop.time(), "the caller hears nothing yet"
        await stage.player.enqueue(1, speech(2000))
        assert stage.player.needed_at(1) == pytest.approx(3.0)
        await asyncio.sleep(0.5)
        assert stage.player.needed_at(1) == pytest.approx(3.0), "time alone changes nothing"
        await stage.player.enqueue(1, speech(500))
        assert stage.player.needed_at(1) == pytest.approx(3.5)
        await asyncio.sleep(5)
        assert stage.player.needed_at(1) == pytest.approx(3.5), "dry since then"
        await stage.end()

    run(main)


def test_a_thread_that_asks_while_a_chunk_is_cut_off_hears_of_all_the_speech() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        player = stage.player
        told: list[float] = []

        class Pending(deque[Samples]):
            def appendleft(self, rest: Samples) -> None:
                told.append(player.needed_at(1))  # as another thread may at this moment
                super().appendleft(rest)

        player._pending = Pending()
        player.open(1, hold=False)
        await player.enqueue(1, speech(2000))
        await asyncio.sleep(1)
        assert told and told == pytest.approx([2.0] * len(told))
        await stage.end()

    run(main)


def test_nobody_knows_when_speech_is_needed_that_is_held_or_paused_or_dropped() -> None:
    async def main(loop: VirtualTimeLoop) -> None:
        stage = Stage(loop)
        player = stage.player
        player.open(1, hold=True)
        assert player.needed_at(1) == math.inf
        await player.enqueue(1, speech(1000))
        assert player.needed_at(1) == math.inf
        await asyncio.sleep(5)
        player.release(1)
        assert player.needed_at(1) == pytest.approx(6.0)
        await asyncio.sleep(0.5)
        player.pause(1)
        assert player.needed_at(1) == math.inf
        await asyncio.sleep(2)
        player.resume(1)
        assert player.needed_at(1) == pytest.approx(8.0, abs=0.15), "the pause, and the lead"
        player.clear()
        assert player.needed_at(1) == math.inf
        await stage.end()

    run(main)

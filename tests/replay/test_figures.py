from __future__ import annotations

from gateway.conversation.commands import Command, StartReply
from gateway.conversation.events import (
    CoreEvent,
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
)
from gateway.recording.steps import RecordedStep, Step, as_recorded
from gateway.replay.figures import Figures, figures_of
from tests.conversation.driver import NO_GREETING, Driver, spread


class RecordedDriver(Driver):
    """A driven call whose steps are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[RecordedStep] = []
        self.start()

    def receive(self, event: CoreEvent) -> list[Command]:
        commands = super().receive(event)
        self.steps.append(as_recorded(Step(event, self.now, tuple(commands))))
        return commands

    @property
    def figures(self) -> Figures:
        return figures_of(self.steps, NO_GREETING)


def test_failed_reply_was_not_stopped_by_the_caller() -> None:
    for played_ms in (0, 1000):
        driver = RecordedDriver()
        driver.turn()
        generation = driver.last(StartReply).generation
        driver.receive(SpeechQueued(generation, spread("At nine o'clock.", 32_000), 32_000))
        if played_ms:
            driver.play(played_ms)
        driver.receive(ReplyFailed(generation, "boom"))
        assert (driver.figures.cut_offs, driver.figures.barge_ins) == (0, 0)


def test_reply_without_words_was_not_stopped_by_the_caller() -> None:
    driver = RecordedDriver()
    driver.turn()
    driver.receive(ReplyEnded(driver.last(StartReply).generation))
    assert driver.figures.cut_offs == 0


def test_caller_who_interrupts_late_barges_in() -> None:
    driver = RecordedDriver()
    driver.turn()
    driver.speak("At nine o'clock in the morning.", 3000)
    driver.play(1000)
    driver.say(600)
    driver.silence(200)
    driver.transcript("Stop.")
    assert (driver.figures.cut_offs, driver.figures.barge_ins) == (0, 1)


def test_latency_counts_to_the_first_words_not_to_an_acknowledgement() -> None:
    driver = RecordedDriver()
    driver.turn()
    spoken = driver.now - 0.5
    driver.silence(1500)
    generation = driver.last(StartReply).generation
    driver.receive(SpeechQueued(generation, (), 6400))
    driver.receive(PlayoutStarted(generation))
    for _ in range(10):
        driver.receive(SpeechSent(generation, 640))
        driver.silence(40)
    assert driver.figures.latencies_ms == []
    driver.silence(1000)
    driver.speak("At nine.", 400)
    driver.receive(SpeechSent(generation, 640))
    (latency,) = driver.figures.latencies_ms
    assert round(latency) == round(1000 * (driver.now - spoken)) == 3400

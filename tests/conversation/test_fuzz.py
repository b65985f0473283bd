"""Random calls: whatever arrives in whatever order, the rules of turn-taking hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio.pcm import FRAME_SAMPLES
from gateway.conversation.commands import (
    CancelReply,
    Command,
    PauseReply,
    ReleaseReply,
    ResumeReply,
    Script,
    StartReply,
    Transcribe,
)
from gateway.conversation.events import (
    CoreEvent,
    PlayoutStarted,
    ReplyEnded,
    ReplyFailed,
    SpeechQueued,
    SpeechSent,
    TranscriptFailed,
    TranscriptReady,
)
from gateway.conversation.phase import Phase
from gateway.events import CallEnded, OptionsChanged, ReplyRequested, TextReceived
from tests.conversation.driver import GREETING, Driver

BARGE_IN_MS = GREETING.barge_in.pause_ms

small = st.integers(0, 4)
texts = st.sampled_from(["", "yes", "what time do you open"])
spoken = st.just((("some", 200), ("words", 320)))
events: st.SearchStrategy[CoreEvent] = st.one_of(
    st.builds(TranscriptReady, small, small, texts, st.sampled_from(["en", "ru"])),
    st.builds(TranscriptFailed, small, small, st.just("boom")),
    st.builds(SpeechQueued, small, spoken, st.integers(1, 30_000)),
    st.builds(ReplyEnded, small),
    st.builds(ReplyFailed, small, st.just("boom")),
    st.builds(PlayoutStarted, small),
    st.builds(SpeechSent, small, st.just(FRAME_SAMPLES)),
    st.builds(TextReceived, st.just("typed")),
    st.just(ReplyRequested()),
    st.builds(OptionsChanged, st.sampled_from([None, "en", "ru"])),
)
actions = st.one_of(
    st.tuples(st.just("say"), st.integers(20, 1500)),
    st.tuples(st.just("silence"), st.integers(20, 1500)),
    st.tuples(st.just("wait"), st.integers(20, 1500)),
    st.tuples(st.just("answer"), texts),
    st.tuples(st.just("speak"), st.integers(20, 1500)),
    st.tuples(st.just("play"), st.integers(20, 600)),
    st.tuples(st.just("event"), events),
)


class Rules:
    """Checks every command against what was ordered before."""

    def __init__(self) -> None:
        self.live: int | None = None
        self.newest = 0
        self.held = False
        self.paused = False

    def check(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case StartReply(generation, hold=hold):
                    assert generation == self.newest + 1, "generations grow by one"
                    self.live, self.newest, self.held = generation, generation, hold
                    self.paused = False
                case CancelReply(generation):
                    assert generation == self.live, "a cancel names the live reply"
                    self.live = None
                case PauseReply(generation):
                    assert generation == self.live, "only the live reply is paused"
                    assert not self.held and not self.paused
                    self.paused = True
                case ResumeReply(generation):
                    assert generation == self.live, "only the live reply is resumed"
                    assert self.paused, "only a paused reply is resumed"
                    self.paused = False
                case ReleaseReply(generation):
                    assert generation == self.live, "only the live reply is released"
                    assert self.held, "only a held reply is released"
                    self.held = False
                case _:
                    pass


def act(driver: Driver, kind: str, argument: object) -> list[Command]:
    match kind, argument:
        case "say", int(ms):
            return driver.say(ms)
        case "silence", int(ms):
            return driver.silence(ms)
        case "wait", int(ms):
            return driver.wait(ms)
        case "answer", str(text):
            asked = any(isinstance(c, Transcribe) for c in driver.commands)
            return driver.transcript(text) if asked else []
        case "speak", int(ms):
            return driver.speak("some words", ms)
        case "play", int(ms):
            return driver.play(ms)
        case "event", event:
            return driver.receive(event)  # type: ignore[arg-type]
    raise AssertionError(kind)


@settings(max_examples=300, deadline=None)
@given(st.lists(actions, max_size=40))
def test_any_call_keeps_the_rules_of_replies_and_timers(
    script: list[tuple[str, object]],
) -> None:
    driver, rules = Driver(GREETING), Rules()
    rules.check(driver.start())
    for kind, argument in script:
        rules.check(act(driver, kind, argument))
        conversation = driver.conversation
        live = conversation.live_generation
        assert live in (None, rules.live), "the machine and its orders agree on the live reply"
        if conversation.phase in (Phase.THINKING, Phase.SPEAKING, Phase.INTERRUPTED):
            assert live is not None, "somebody is about to speak"
        deadline = conversation.next_deadline()
        if deadline is not None and deadline <= driver.now:
            conversation.handle_timer(driver.now)
            rules.check(driver._drain())
            moved = conversation.next_deadline()
            assert moved is None or moved > driver.now, "an elapsed deadline is consumed or moved"
    rules.check(driver.receive(CallEnded("closed")))
    assert driver.conversation.live_generation is None
    assert driver.conversation.phase is Phase.ENDED


@settings(max_examples=300, deadline=None)
@given(st.lists(actions, max_size=25), st.integers(0, 500), st.integers(2, 60))
def test_every_utterance_longer_than_the_barge_in_threshold_is_transcribed(
    script: list[tuple[str, object]], silence_ms: int, extra_frames: int
) -> None:
    driver = Driver(GREETING)
    driver.start()
    for kind, argument in script:
        act(driver, kind, argument)
    driver.silence(silence_ms)
    before = sum(isinstance(c, Transcribe) for c in driver.commands)
    driver.say(BARGE_IN_MS + 20 * extra_frames)
    driver.silence(400)
    after = sum(isinstance(c, Transcribe) for c in driver.commands)
    assert after > before


@settings(max_examples=200, deadline=None)
@given(st.lists(actions, max_size=25))
def test_call_whose_engines_answer_always_comes_back_to_listening(
    script: list[tuple[str, object]],
) -> None:
    driver = Driver(GREETING)
    driver.start()
    for kind, argument in script:
        act(driver, kind, argument)
    answered: set[tuple[int, int]] = set()
    for _ in range(200):
        driver.silence(500)
        for request in [c for c in driver.commands if isinstance(c, Transcribe)]:
            if (request.turn, request.revision) not in answered:
                answered.add((request.turn, request.revision))
                driver.receive(TranscriptReady(request.turn, request.revision, "yes", "en"))
        generation = driver.conversation.live_generation
        if generation is not None:
            driver.receive(PlayoutStarted(generation))
            driver.receive(SpeechQueued(generation, (("words", 300),), FRAME_SAMPLES))
            driver.receive(SpeechSent(generation, 6400))
            driver.receive(ReplyEnded(generation))
        if driver.conversation.phase is Phase.LISTENING:
            return
    raise AssertionError(f"stuck in {driver.conversation.phase}")


def test_rules_notice_a_cancel_of_the_wrong_reply() -> None:
    rules = Rules()
    rules.check([StartReply(1, 0, 0, "en", Script("x"), hold=False)])
    try:
        rules.check([CancelReply(2)])
    except AssertionError:
        return
    raise AssertionError("the checker accepts anything")

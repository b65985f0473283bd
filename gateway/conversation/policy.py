"""Every threshold of turn-taking, with its default. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class SpeechPolicy:
    """When frames of voice become speech.

    Attributes:
        start_ms: voice needed within ``start_window_ms`` before speech has started.
        pre_roll_ms: audio kept from before the detected start, so that no first sound is lost.
        max_part_ms: speech without a pause is cut here and recognised in parts; below the 30 s
            window of Whisper.
        settle_ms: a turn that goes on after a pause keeps the transcript of what was said before,
            instead of recognising it again, once that part is this long.
        partial_ms: an utterance that is this long is recognised while it goes on, for those who
            want to see it; 0 never.
        partial_every_ms: how often from then on.
        stall_ms: no audio for this long counts as silence from then on: some clients stop sending
            when nobody speaks. Longer than the gaps of a jittery network.
    """

    start_ms: int = 40
    start_window_ms: int = 120
    pre_roll_ms: int = 240
    max_part_ms: int = 25_000
    settle_ms: int = 10_000
    partial_ms: int = 2000
    partial_every_ms: int = 1000
    stall_ms: int = 350


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """When the caller's turn is over.

    People answer each other after about 200 ms (Stivers et al. 2009); pauses inside a turn are as
    long, so what was said decides.

    Attributes:
        pause_ms: silence that starts recognition and the speculative reply.
        complete_ms: silence that ends a turn which sounds complete.
        unsure_ms: the same if that cannot be told; ``complete_ms`` if that is longer.
        dictation_ms: the same inside a dictation (a number, a name, an address); never shorter
            than the wait of an unsure turn.
        incomplete_ms: the same after an unfinished sentence; never shorter either.
        ceiling_ms: no turn waits longer.
        cut_off_ms: more patience with a caller who was cut off, each time, up to three times.
        doubt_logprob: mean log-probability of a transcript under which its words are in doubt.
        reopen_ms: speech this soon after the reply began to play means that the caller was cut off.
    """

    pause_ms: int = 160
    complete_ms: int = 320
    unsure_ms: int = 650
    dictation_ms: int = 1000
    incomplete_ms: int = 1200
    ceiling_ms: int = 2000
    cut_off_ms: int = 120
    reopen_ms: int = 500
    doubt_logprob: float = -0.45


@dataclass(frozen=True, slots=True)
class BargeInPolicy:
    """When speech over the assistant stops it.

    Attributes:
        pause_ms: speech over the assistant that pauses it; what was said decides how it goes on.
        judge_ms: speech that goes on this long is judged before it pauses; if its words do not
            stop the assistant, again after as much more, or when it is twice as long if the caller
            has said nothing new.
        undecided_ms: no verdict after this much speech: the caller has the floor.
        short_ms: speech over the assistant that is no longer than this, and whose words are in
            doubt, does not interrupt: most likely it was a grunt.
        echo_window_ms: stretch of sound that is compared with our own voice.
    """

    pause_ms: int = 80
    judge_ms: int = 700
    undecided_ms: int = 1800
    short_ms: int = 600
    echo_window_ms: int = 300


@dataclass(frozen=True, slots=True)
class PatiencePolicy:
    """Silences and limits that make the assistant speak of its own accord; 0 turns one off.

    Attributes:
        idle_ms: silence of both sides after which the caller is asked whether they are there.
        idle_prompts: how often, before the assistant says goodbye and hangs up.
        acknowledge_ms: wait for a reply after which the caller is asked to hold on, once per turn.
        max_call_ms: longest call.
        warning_ms: warning before the end of the longest call, but in its second half.
    """

    idle_ms: int = 10_000
    idle_prompts: int = 2
    acknowledge_ms: int = 1500
    max_call_ms: int = 3_600_000
    warning_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the assistant says without asking the chat model, in one language; empty says nothing.

    Attributes:
        greeting: first words of a call.
        apology: an engine failed.
        still_there: the caller has been silent.
        goodbye: before the assistant hangs up.
        acknowledgement: a reply takes long.
        ending_soon: the call is about to reach its longest duration.
    """

    greeting: str = ""
    apology: str = ""
    still_there: str = ""
    goodbye: str = ""
    acknowledgement: str = ""
    ending_soon: str = ""


PhraseName = Literal["greeting", "apology", "still_there", "goodbye", "ending_soon"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one conversation is conducted.

    Attributes:
        default_language: language until the caller's is known.
        phrases: per language; must hold the default language.
    """

    default_language: str
    phrases: Mapping[str, Phrases]
    speech: SpeechPolicy = field(default_factory=SpeechPolicy)
    endpoint: EndpointPolicy = field(default_factory=EndpointPolicy)
    barge_in: BargeInPolicy = field(default_factory=BargeInPolicy)
    patience: PatiencePolicy = field(default_factory=PatiencePolicy)

    def phrases_in(self, language: str) -> Phrases:
        """The fixed phrases of a language, or those of the default one."""
        return self.phrases.get(language) or self.phrases[self.default_language]

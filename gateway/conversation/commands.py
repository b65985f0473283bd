"""What the conversation orders its shell to do. Commands are imperative and carry all they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.audio.pcm import Samples

Speaker = Literal["caller", "assistant"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One message of the conversation as it was really said and heard.

    Attributes:
        interrupted: the assistant was cut off after these words.
    """

    speaker: Speaker
    text: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Transcribe:
    """Recognise speech of the caller; answer with TranscriptReady or TranscriptFailed.

    Attributes:
        samples: int16, 16 kHz mono: the part of the turn that has no transcript yet.
        language: pinned language, or None to detect it.
        speech_ended_at: call time of the last speech in it, in seconds.
    """

    turn: int
    revision: int
    samples: Samples
    language: str | None
    speech_ended_at: float


@dataclass(frozen=True, slots=True, eq=False)
class TranscribePartial:
    """Recognise speech that goes on, if somebody wants to know and there is time for it.

    Answered with PartialReady, or not at all.

    Attributes:
        number: rises with every order of the call.
        samples: int16, 16 kHz mono: the open part of the turn so far.
        language: pinned language, or None to detect it.
    """

    turn: int
    number: int
    samples: Samples
    language: str | None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A reply the chat model is to find: everything said so far, oldest first."""

    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A reply whose words are fixed."""

    text: str


@dataclass(frozen=True, slots=True)
class StartReply:
    """Prepare a reply; play it at once unless ``hold``.

    Attributes:
        generation: number of the reply; older ones are void from now on.
        turn, revision: the transcript it answers; turn 0 when it answers none.
    """

    generation: int
    turn: int
    revision: int
    language: str
    source: Prompt | Script
    hold: bool


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Let a held reply be heard."""

    generation: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop preparing and playing a reply now, and drop what was not sent."""

    generation: int


@dataclass(frozen=True, slots=True)
class PauseReply:
    """Fall silent with a short fade, but keep what was not sent."""

    generation: int


@dataclass(frozen=True, slots=True)
class ResumeReply:
    """Go on from the very sample at which the reply fell silent."""

    generation: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Say something short before the reply, unless the reply is already there."""

    generation: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call from our side; everything to be heard has been heard."""

    reason: str


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """The caller's turn is over and accepted; replaces an earlier commit of the same turn."""

    turn: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class NotifyTranscript:
    """Tell the far side what was said. Sent once per caller turn and once per heard reply.

    Attributes:
        turn: the caller's turn, or the turn that the reply answers.
        generation: the reply; 0 for the caller's words.
        interrupted: the reply was cut; ``text`` is the part that was heard.
    """

    speaker: Speaker
    text: str
    turn: int
    generation: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class NotifyPartial:
    """Tell the far side what the caller has said so far; each text replaces the one before.

    It begins with that one, unless a part of the turn has got its transcript meanwhile.
    """

    turn: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class NotifyError:
    """An engine failed in this call; ``code`` is one of the wire's error codes."""

    code: Literal["asr_unavailable", "llm_unavailable", "tts_unavailable"]
    message: str


Command: TypeAlias = (
    Transcribe
    | TranscribePartial
    | StartReply
    | ReleaseReply
    | CancelReply
    | PauseReply
    | ResumeReply
    | Acknowledge
    | HangUp
    | CommitTurn
    | NotifyTranscript
    | NotifyPartial
    | NotifyError
)

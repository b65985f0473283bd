"""Messages of the native JSON protocol: their types, and what is wrong with a bad one."""

from __future__ import annotations

import binascii
import json
import re
from typing import Annotated, Any, TypeAlias

import msgspec

from gateway.errors import ProtocolError
from gateway.protocols.base import Role

MAX_CALL_ID = 128

CallId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CALL_ID)]


class Init(msgspec.Struct, tag_field="type", tag="init", rename="camel"):
    """Opens a call, or changes the options of an open one."""

    call_id: CallId
    # Any: a hint of the wrong type must not cost the caller the call.
    language_hint: Any = None
    ext: Any = None


class AudioIn(msgspec.Struct, tag_field="type", tag="audio", rename="camel"):
    """Audio of the caller, base64."""

    call_id: CallId
    chunk: str


class AudioOut(msgspec.Struct, tag_field="type", tag="audio_out", rename="camel"):
    """Audio for the caller; msgspec writes bytes as base64."""

    call_id: str
    chunk: bytes


class TranscriptOut(msgspec.Struct, tag_field="type", tag="transcript", rename="camel"):
    """Finished words of one side."""

    call_id: str
    role: Role
    text: str


class Ready(msgspec.Struct, tag_field="type", tag="ready", rename="camel"):
    """Answers an ``init`` that asked for extensions: those that are granted."""

    call_id: str
    ext: list[str]
    v: int = 1


class UtteranceOut(
    msgspec.Struct, tag_field="type", tag="transcript", rename="camel", omit_defaults=True
):
    """A transcript of a call with ``interim``: ``rev`` rises, and each text replaces the last."""

    call_id: str
    role: Role
    text: str
    final: bool
    utterance_id: str
    rev: int
    lang: str | None = None


class ErrorOut(msgspec.Struct, tag_field="type", tag="error", rename="camel"):
    """A violation by the client, or a failure of the gateway."""

    call_id: str | None
    code: str
    message: str


Incoming: TypeAlias = Init | AudioIn

_REQUIRED = {"init": ("callId",), "audio": ("callId", "chunk")}
_URL_SAFE = str.maketrans("-_", "+/", "\r\n")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_decoder: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
_encoder = msgspec.json.Encoder()


class UnknownTypeError(ProtocolError):
    """A message of a type this protocol does not have; ``type_name`` tells which."""

    def __init__(self, type_name: str, message: str, call_id: str | None) -> None:
        super().__init__("bad_message", message, call_id)
        self.type_name = type_name


def decode(text: str) -> Incoming:
    """One message of the client.

    Half a surrogate pair, as JavaScript writes a name that was cut inside an emoji, costs nothing
    outside of ``callId``.

    Raises:
        ProtocolError: ``bad_json`` when the text is not JSON, else ``bad_message``.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        message = _parsed(text)
    if violation := _violation(message):
        raise violation
    # msgspec cannot compare such a key, which is none of ours, with those it knows.
    known = {key: value for key, value in message.items() if not _LONE_SURROGATE.search(key)}
    decoded: Incoming = msgspec.convert(known, Incoming)
    return decoded


def encode(message: AudioOut | TranscriptOut | UtteranceOut | Ready | ErrorOut) -> str:
    """One message to the client, as the text of a frame."""
    return _encoder.encode(message).decode()


def decode_base64(text: str) -> bytes | None:
    """Base64 in either alphabet, with or without padding and line breaks; None if it is not."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        plain = text.translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        return None


def describe(value: object) -> str:
    """A received value in few words, for an error text."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= 40 else value[:40] + "…")
        case int() | float():
            return str(value)[:40]
        case list():
            return "an array"
        case _:
            return "an object"


def _parsed(text: str) -> dict[str, Any]:
    """The object in a text that the decoder refused, which stops at lone surrogates too."""
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        problem = f"expected one JSON object, got invalid JSON: {error}"
        raise ProtocolError("bad_json", problem) from error
    except RecursionError as error:
        problem = "expected one JSON object, got JSON nested too deeply"
        raise ProtocolError("bad_json", problem) from error
    if not isinstance(message, dict):
        # Without its text, which may be somebody's words.
        found = "a string" if isinstance(message, str) else describe(message)
        raise ProtocolError("bad_message", f"expected one JSON object, got {found}")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _violation(message: dict[str, Any]) -> ProtocolError | None:
    """What is wrong with a message that did not decode at once; None if nothing is."""
    call_id = message.get("callId")
    known_id = call_id if isinstance(call_id, str) and not _id_problem(call_id) else None
    type_name = message.get("type")
    if not isinstance(type_name, str):
        text = f"expected a 'type' string, got {_field(message, 'type')}"
        return ProtocolError("bad_message", text, known_id)
    if type_name not in _REQUIRED:
        text = f"expected type 'init' or 'audio', got {describe(type_name)}"
        return UnknownTypeError(type_name[:MAX_CALL_ID], text, known_id)
    for name in _REQUIRED[type_name]:
        if not isinstance(message.get(name), str):
            text = f"expected a {name!r} string, got {_field(message, name)}"
            return ProtocolError("bad_message", text, known_id)
    problem = _id_problem(message["callId"])
    return ProtocolError("bad_message", problem) if problem else None


def _id_problem(call_id: str) -> str | None:
    if not 0 < len(call_id) <= MAX_CALL_ID:
        return f"expected a 'callId' of 1 to {MAX_CALL_ID} characters, got {len(call_id)}"
    if _LONE_SURROGATE.search(call_id):
        return f"expected a 'callId' of whole characters, got {describe(call_id)}"
    return None


def _field(message: dict[str, Any], name: str) -> str:
    return describe(message[name]) if name in message else "none"

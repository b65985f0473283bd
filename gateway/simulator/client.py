"""Place a call: the caller at one end of a WebSocket, the gateway at the other."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from gateway.audio.pcm import FRAME_MS, Samples, decode_s16le, encode_s16le
from gateway.errors import GatewayError
from gateway.simulator.caller import Caller, Exchange, Patience
from gateway.simulator.network import NetworkPath
from gateway.simulator.recording import Recording

_OPEN_TIMEOUT_S = 10.0


class CallFailed(GatewayError):
    """No call could be placed at all; the message says what to check."""


class CallRefused(CallFailed):
    """The gateway is loading, full or stopping (HTTP status 503)."""


class CallParty(Protocol):
    """Whoever speaks and listens at this end of a call; times are call times in seconds."""

    @property
    def said_everything(self) -> bool:
        """May the gateway hang up now without leaving anything unsaid?"""
        ...

    def next_frame(self, now: float) -> Samples | None:
        """The 20 ms that end now; None to hang up."""
        ...

    def hear(self, samples: Samples, now: float) -> None:
        """Audio of the assistant arrived."""
        ...

    def read(self, role: str, text: str) -> None:
        """A transcript arrived."""
        ...

    def give_up(self, failure: str | None) -> None:
        """The call cannot go on."""
        ...


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call, as the caller lived it.

    Attributes:
        greeting: what the assistant said first, or None.
        turns: one exchange for each utterance begun.
        caller_track: the caller's side of the line; ``assistant_track``: what the caller heard.
        underruns: gaps inside replies, ``underrun_s`` seconds in all.
        failure: why the call was given up, or which utterance was not heard; None otherwise.
    """

    call_id: str
    language: str
    greeting: Exchange | None
    turns: tuple[Exchange, ...]
    caller_track: Samples
    assistant_track: Samples
    underruns: int
    underrun_s: float
    failure: str | None


async def place_call(
    url: str,
    recordings: Sequence[Recording],
    *,
    language: str = "auto",
    call_id: str | None = None,
    patience: Patience | None = None,
    on_exchange: Callable[[Exchange], None] | None = None,
) -> CallResult:
    """Call the gateway and say the recordings, in real time, each when the last was answered.

    ``on_exchange`` is told about the greeting and each exchange as soon as it is complete.

    Raises:
        CallFailed: the connection was refused, or there is no gateway at the other end.
    """
    call_id = call_id or f"call-{uuid4().hex[:8]}"
    caller = Caller(recordings, patience, on_exchange)
    await dial(url, caller, call_id, language)
    return CallResult(
        call_id=call_id,
        language=language,
        greeting=caller.greeting if caller.greeting.answered_s is not None else None,
        turns=tuple(caller.turns),
        caller_track=caller.line(),
        assistant_track=caller.far_end.track(),
        underruns=caller.far_end.underruns,
        underrun_s=caller.far_end.underrun_s,
        failure=caller.failure or _unheard(caller.turns),
    )


def _unheard(turns: Sequence[Exchange]) -> str | None:
    """Whom the assistant answered without having heard a word, with "Are you still there?" say."""
    for turn in turns:
        if turn.utterance and turn.answered_s is not None and not turn.caller_text:
            return f"{turn.utterance.name}: no words were heard in it, so this was no answer to it"
    return None


async def dial(
    url: str, caller: CallParty, call_id: str, language: str, path: NetworkPath | None = None
) -> None:
    """Connect a caller to the gateway and hold the line, in real time, until one side hangs up.

    Args:
        path: how the caller's audio travels; evenly by default.

    Raises:
        CallRefused: the gateway takes no calls now.
        CallFailed: the connection was refused, or there is no gateway at the other end.
    """
    try:
        async with await _connect(url) as socket:
            await _hold_call(socket, caller, call_id, language, path or NetworkPath(None))
    except (OSError, WebSocketException) as error:
        refused = isinstance(error, InvalidStatus) and error.response.status_code == 503
        raise (CallRefused if refused else CallFailed)(explain_failure(url, error)) from error


async def _connect(url: str) -> ClientConnection:
    try:
        # No proxy: a call's audio goes to the gateway and nowhere else.
        return await connect(
            url, open_timeout=_OPEN_TIMEOUT_S, compression=None, max_size=2**22, proxy=None
        )
    except ValueError as error:  # of the name of the host, or of the port
        raise InvalidURI(url, str(error)) from error


async def _hold_call(
    socket: ClientConnection, caller: CallParty, call_id: str, language: str, path: NetworkPath
) -> None:
    """Speak and listen until the caller hangs up or the line goes dead."""
    start = asyncio.get_running_loop().time()
    try:
        await socket.send(json.dumps({"type": "init", "callId": call_id, "languageHint": language}))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_listen(socket, caller, call_id, start))
            await _speak(socket, caller, call_id, start, path)
            listening.cancel()
    except* ConnectionClosed as closed:
        caller.give_up(_why_closed(caller, closed.exceptions[0]))


async def _speak(
    socket: ClientConnection, caller: CallParty, call_id: str, start: float, path: NetworkPath
) -> None:
    """Send the caller's line frame by frame: a frame leaves when its last sample was spoken."""
    loop = asyncio.get_running_loop()
    frames = 0
    while True:
        frames += 1
        # Reckoned from the start of the call, so that a late frame delays none after it.
        due = start + frames * path.pace * FRAME_MS / 1000
        await asyncio.sleep(max(0.0, due - loop.time()))
        frame = caller.next_frame(loop.time() - start)
        if frame is None:
            return
        for samples in path.push(frame):
            await socket.send(audio_message(call_id, samples))


async def _listen(socket: ClientConnection, caller: CallParty, call_id: str, start: float) -> None:
    """Pass on what arrives until the gateway closes the line."""
    loop = asyncio.get_running_loop()
    while True:
        message = await socket.recv()
        take_message(caller, call_id, message, loop.time() - start)


def audio_message(call_id: str, samples: Samples) -> str:
    """The wire form of a piece of the caller's audio."""
    chunk = base64.b64encode(encode_s16le(samples)).decode("ascii")
    return json.dumps({"type": "audio", "callId": call_id, "chunk": chunk})


def take_message(caller: CallParty, call_id: str, message: str | bytes, now: float) -> None:
    """Give the caller one message of the gateway; a message nobody can use ends the call."""
    try:
        match json.loads(message):
            case {"type": "audio_out", "callId": str(to), "chunk": str(chunk)} if to == call_id:
                caller.hear(decode_s16le(base64.b64decode(chunk, validate=True)), now)
            case {
                "type": "transcript",
                "callId": str(to),
                "role": str(role),
                "text": str(text),
            } if to == call_id:
                caller.read(role, text)
            case {"type": "error", "code": code, "message": text}:
                caller.give_up(f"the gateway reported {code}: {text}")
            case _:
                caller.give_up(f"unexpected message from the gateway: {message[:120]!r}")
    except (ValueError, RecursionError) as error:  # of JSON, of base64, or of the text of either
        caller.give_up(f"unreadable message from the gateway: {error}")


def _why_closed(caller: CallParty, closed: BaseException) -> str | None:
    """A closed line is a failure unless everything was said and answered by then."""
    if not isinstance(closed, ConnectionClosed):
        return str(closed)
    if closed.rcvd is None:
        return "the connection to the gateway was lost"
    if closed.rcvd.code == 1000 and caller.said_everything:
        return None
    reason = f" ({closed.rcvd.reason})" if closed.rcvd.reason else ""
    return f"the gateway closed the call with code {closed.rcvd.code}{reason}"


def explain_failure(url: str, error: OSError | WebSocketException) -> str:
    """Why no call could be placed, and what to do about it."""
    match error:
        case InvalidURI():
            return f"{url} is no WebSocket address; it looks like ws://127.0.0.1:8765/"
        case InvalidStatus() if error.response.status_code == 503:
            said = (error.response.body or b"").decode("utf-8", "replace").strip()
            return (
                f"{url} takes no calls now (503): {said or 'it is loading, full or stopping'}. "
                "Its /readyz page tells when it is ready."
            )
        case InvalidStatus() if error.response.status_code == 404:
            return f"{url}: the gateway has no such path (404); the native protocol is at /"
        case InvalidStatus() if error.response.status_code in (401, 403):
            return f"{url} wants a credential ({error.response.status_code})"
        case InvalidStatus():
            return f"{url} refused the call with HTTP status {error.response.status_code}"
        case ConnectionRefusedError():
            return f"nothing answers at {url}; start the gateway with: voice-gateway serve"
        case TimeoutError():
            return f"{url} did not answer within {_OPEN_TIMEOUT_S:g} s"
        case InvalidHandshake():
            return f"{url} does not speak WebSocket ({error}); is it the gateway's port?"
        case _:
            # asyncio joins the refusals of several addresses (::1 and 127.0.0.1) into one OSError.
            if "Connect call failed" in str(error):
                return f"nothing answers at {url}; start the gateway with: voice-gateway serve"
            return f"no call to {url}: {str(error) or type(error).__name__}"

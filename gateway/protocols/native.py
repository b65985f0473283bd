"""The native JSON protocol (docs/protocols.md §1): four messages, several calls per socket told
apart by ``callId``, and the extension ``interim`` for clients that ask for it.

A client of the base mode that keeps to the protocol receives ``audio_out`` and ``transcript`` only.
A violation is answered with ``{"type":"error", …}`` and costs nothing but the message that broke
the rule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gateway.audio.pcm import SAMPLE_RATE, Samples, decode_s16le, encode_s16le, seconds
from gateway.errors import ProtocolError
from gateway.events import AudioReceived, CallStarted, OptionsChanged
from gateway.protocols.base import Received, Role
from gateway.protocols.early_audio import EarlyAudio
from gateway.protocols.native_messages import (
    AudioIn,
    AudioOut,
    ErrorOut,
    Init,
    Ready,
    TranscriptOut,
    UnknownTypeError,
    UtteranceOut,
    decode,
    decode_base64,
    describe,
    encode,
)

MAX_BAD_JSON = 10
"""Messages of one socket that may be no JSON; the next one closes it."""

RATE_WINDOW_S = 5.0
MAX_RATE = 2.0
"""Audio may arrive at this multiple of real time, measured over RATE_WINDOW_S."""

EXTENSIONS = ("interim",)
"""What a client may ask for in ``init.ext``."""

_REMEMBERED_TYPES = 64
_BUCKET_S = 0.1


class NativeProtocol:
    """Translates the messages of one socket; sans-I/O, see CallProtocol.

    Args:
        languages: ISO 639-1 codes that a ``languageHint`` may pin.
        max_lead_s: audio that may be sent ahead of real time; base mode cannot clear what was
            sent, so this is also how long a reply goes on after the caller interrupts it.
    """

    def __init__(
        self, languages: Iterable[str] = ("en", "ar", "ru"), max_lead_s: float = 0.1
    ) -> None:
        self.max_lead_s = max_lead_s
        self._languages = frozenset(languages)
        self._calls: dict[str, RateLimit] = {}
        self._revisions: dict[str, dict[str, int]] = {}
        """Of each call with ``interim``: the last revision of the utterances in progress."""
        self._early = EarlyAudio()
        self._bad_json = 0
        self._binary_reported = False
        self._unknown_types: set[str] = set()

    def receive(self, message: str | bytes, now: float) -> Received:
        """Translate one incoming message; never raises."""
        received = Received()
        try:
            if isinstance(message, bytes):
                self._refuse_binary(len(message))
                return received
            match decode(message):
                case Init() as init:
                    self._init(init, now, received)
                case AudioIn() as audio:
                    self._audio(audio, now, received)
        except UnknownTypeError as error:
            if error.type_name not in self._unknown_types:
                if len(self._unknown_types) < _REMEMBERED_TYPES:
                    self._unknown_types.add(error.type_name)
                    received.errors.append(error)
        except ProtocolError as error:
            received.errors.append(error)
            if error.code == "bad_json":
                self._count_bad_json(received)
        return received

    def audio(self, call_id: str, samples: Samples) -> str:
        """The message that plays samples to the caller."""
        return encode(AudioOut(call_id, encode_s16le(samples)))

    def transcript(self, call_id: str, role: Role, text: str, utterance: int) -> str:
        """The message that reports finished words."""
        if call_id not in self._revisions:
            return encode(TranscriptOut(call_id, role, text))
        name = f"{'u' if role == 'caller' else 'a'}{utterance}"
        rev = self._revisions[call_id].pop(name, 0) + 1
        return encode(UtteranceOut(call_id, role, text, True, name, rev))

    def wants_partials(self, call_id: str) -> bool:
        """Whether the call has ``interim``."""
        return call_id in self._revisions

    def partial(self, call_id: str, text: str, utterance: int, language: str) -> str | None:
        """The message that reports what the caller has said so far."""
        revisions = self._revisions.get(call_id)
        if revisions is None:
            return None
        name = f"u{utterance}"
        rev = revisions[name] = revisions.get(name, 0) + 1
        return encode(UtteranceOut(call_id, "caller", text, False, name, rev, language))

    def error(self, error: ProtocolError) -> str:
        """The message that reports a violation or a failure."""
        return encode(ErrorOut(error.call_id, error.code, str(error)))

    def call_ended(self, call_id: str) -> None:
        """Forget a call that ended on our side; its id may open a new call."""
        self._calls.pop(call_id, None)
        self._revisions.pop(call_id, None)
        self._early.call_ended(call_id)

    def _init(self, init: Init, now: float, received: Received) -> None:
        call_id = init.call_id
        # Else base mode, which ignores what it does not know.
        asked = init.ext if isinstance(init.ext, list) else []
        if call_id in self._calls:
            language = self._language(init, "nothing changes")
            if asked:  # too late for more, but the client waits for an answer
                had = ["interim"] if call_id in self._revisions else []
                received.answers.append(encode(Ready(call_id, had)))
            received.events.append((call_id, OptionsChanged(language)))
            return
        try:
            language = self._language(init, "using 'auto'")
        except ProtocolError as error:
            received.errors.append(error)
            language = None
        self._calls[call_id] = RateLimit()
        if asked:
            granted = [name for name in EXTENSIONS if name in asked]
            if "interim" in granted:
                self._revisions[call_id] = {}
            received.answers.append(encode(Ready(call_id, granted)))
        received.events.append((call_id, CallStarted(language)))
        early = self._early.take(call_id, now)
        if early is not None:
            self._pass_on(call_id, early, now, received)

    def _audio(self, audio: AudioIn, now: float, received: Received) -> None:
        call_id = audio.call_id
        if not audio.chunk:
            return
        data = decode_base64(audio.chunk)
        if data is None:
            # Not what it says instead: that may be somebody's words.
            text = f"expected base64 in 'chunk', got {len(audio.chunk)} characters that are not"
            raise ProtocolError("bad_audio", text, call_id)
        samples = decode_s16le(data)
        if call_id in self._calls:
            self._pass_on(call_id, samples, now, received)
        elif self._early.put(call_id, samples, now):
            text = f"expected 'init' first for callId {describe(call_id)}, got 'audio'"
            received.errors.append(ProtocolError("not_initialised", text, call_id))
        if len(data) % 2:
            text = f"expected 16-bit samples in 'chunk', got an odd number of bytes ({len(data)})"
            received.errors.append(ProtocolError("bad_audio", text, call_id))

    def _pass_on(self, call_id: str, samples: Samples, now: float, received: Received) -> None:
        limit = self._calls[call_id]
        accepted, report = limit.admit(len(samples), now)
        if accepted:
            received.events.append((call_id, AudioReceived(samples[:accepted])))
        if report:
            text = (
                f"expected audio at real time, got more than {MAX_RATE:g} times that over"
                f" {RATE_WINDOW_S:g} s; {seconds(len(samples) - accepted):.2f} s dropped"
            )
            received.errors.append(ProtocolError("audio_too_fast", text, call_id))

    def _language(self, init: Init, otherwise: str) -> str | None:
        """The pinned language; None for ``auto``, nothing, or a language we do not serve.

        Raises:
            ProtocolError: it is no string; ``otherwise`` tells what comes of it.
        """
        hint = init.language_hint
        if hint is None:
            return None
        if not isinstance(hint, str):
            text = f"expected a 'languageHint' string, got {describe(hint)}; {otherwise}"
            raise ProtocolError("bad_message", text, init.call_id)
        # "en-US" and "EN" name a language we serve as clearly as "en" does.
        code = hint.lower().replace("_", "-").partition("-")[0]
        return code if code in self._languages else None

    def _refuse_binary(self, size: int) -> None:
        """One answer is enough for a client that streams binary audio by mistake."""
        if not self._binary_reported:
            self._binary_reported = True
            text = f"expected text frames of JSON, got a binary frame of {size} bytes"
            raise ProtocolError("bad_message", text)

    def _count_bad_json(self, received: Received) -> None:
        self._bad_json += 1
        if self._bad_json > MAX_BAD_JSON:
            received.close = (1007, f"more than {MAX_BAD_JSON} messages were not JSON")


class RateLimit:
    """How much audio of one call came in over the last RATE_WINDOW_S, in coarse buckets."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, int]] = deque()
        self._total = 0
        self._last_drop: float | None = None

    def admit(self, count: int, now: float) -> tuple[int, bool]:
        """How many of ``count`` samples may pass, and whether a new episode of excess begins."""
        buckets = self._buckets
        while buckets and buckets[0][0] <= now - RATE_WINDOW_S:
            self._total -= buckets.popleft()[1]
        room = int(MAX_RATE * RATE_WINDOW_S * SAMPLE_RATE) - self._total
        accepted = min(count, max(0, room))
        if accepted:
            self._total += accepted
            if buckets and now - buckets[-1][0] < _BUCKET_S:
                buckets[-1] = (buckets[-1][0], buckets[-1][1] + accepted)
            else:
                buckets.append((now, accepted))
        if accepted == count:
            return accepted, False
        # A client that is always too fast drops a little all the time: that is one episode.
        begins = self._last_drop is None or now - self._last_drop > RATE_WINDOW_S
        self._last_drop = now
        return accepted, begins

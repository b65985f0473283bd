"""The native protocol: given messages in, events out; every violation named, nothing else lost."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE, Samples
from gateway.errors import ProtocolError
from gateway.events import AudioReceived, CallStarted, OptionsChanged
from gateway.protocols.base import CallProtocol, Received
from gateway.protocols.early_audio import MAX_CALLS
from gateway.protocols.native import MAX_BAD_JSON, NativeProtocol

FRAME = np.arange(-160, 160, dtype=np.int16)


def b64(samples: Samples) -> str:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def init(call_id: object = "c1", **more: object) -> str:
    return json.dumps({"type": "init", "callId": call_id, **more})


def audio(chunk: object, call_id: object = "c1") -> str:
    return json.dumps({"type": "audio", "callId": call_id, "chunk": chunk})


def opened(call_id: str = "c1") -> NativeProtocol:
    protocol = NativeProtocol()
    protocol.receive(init(call_id, languageHint="auto"), 0.0)
    return protocol


def errors(received: Received) -> list[tuple[str, str | None, str]]:
    return [(error.code, error.call_id, str(error)) for error in received.errors]


def heard(received: Received) -> list[tuple[str, list[int]]]:
    return [
        (call_id, event.samples.tolist())
        for call_id, event in received.events
        if isinstance(event, AudioReceived)
    ]


def test_it_is_a_call_protocol() -> None:
    protocol: CallProtocol = NativeProtocol(max_lead_s=0.2)
    assert protocol.max_lead_s == 0.2


@pytest.mark.parametrize("hint", ["ar", "en", "ru"])
def test_the_given_init_opens_a_call_with_a_pinned_language(hint: str) -> None:
    text = f'{{"type":"init","callId":"c1","languageHint":"{hint}"}}'
    received = NativeProtocol().receive(text, 0.0)
    assert received == Received(events=[("c1", CallStarted(hint))])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"languageHint": "auto"},
        {"languageHint": None},
        {"languageHint": "fr"},
        {"languageHint": ""},
    ],
)
def test_a_missing_or_unknown_language_hint_means_auto(more: dict[str, object]) -> None:
    received = NativeProtocol().receive(init(**more), 0.0)
    assert received == Received(events=[("c1", CallStarted(None))])


@pytest.mark.parametrize(("hint", "code"), [("EN", "en"), ("ar-AE", "ar"), ("ru_RU", "ru")])
def test_a_language_tag_that_names_a_served_language_pins_it(hint: str, code: str) -> None:
    received = NativeProtocol().receive(init(languageHint=hint), 0.0)
    assert received.events == [("c1", CallStarted(code))]


def test_a_language_that_is_not_configured_is_not_pinned() -> None:
    received = NativeProtocol(languages=["en"]).receive(init(languageHint="ru"), 0.0)
    assert received.events == [("c1", CallStarted(None))]


def test_a_language_hint_of_the_wrong_type_is_auto_and_an_error() -> None:
    received = NativeProtocol().receive(init(languageHint=7), 0.0)
    assert received.events == [("c1", CallStarted(None))]
    text = "expected a 'languageHint' string, got 7; using 'auto'"
    assert errors(received) == [("bad_message", "c1", text)]


def test_a_second_init_changes_the_options_of_the_call() -> None:
    received = opened().receive(init(languageHint="ru"), 1.0)
    assert received == Received(events=[("c1", OptionsChanged("ru"))])


@pytest.mark.parametrize("hint", [7, True, ["en"], {}])
def test_a_second_init_with_a_hint_of_the_wrong_type_changes_nothing(hint: object) -> None:
    received = opened().receive(init(languageHint=hint, ext=["interim"]), 1.0)
    assert received.events == [] and received.answers == []
    ((code, call_id, text),) = errors(received)
    assert (code, call_id) == ("bad_message", "c1")
    assert text.startswith("expected a 'languageHint' string") and text.endswith("nothing changes")


@pytest.mark.parametrize(("first", "had"), [(["interim"], ["interim"]), (["clear"], []), ([], [])])
def test_a_second_init_that_asks_for_extensions_is_told_those_the_call_has(
    first: list[str], had: list[str]
) -> None:
    protocol = NativeProtocol()
    protocol.receive(init(ext=first), 0.0)
    received = protocol.receive(init(languageHint="ru", ext=["interim", "clear"]), 1.0)
    ready = {"type": "ready", "callId": "c1", "v": 1, "ext": had}
    assert [json.loads(answer) for answer in received.answers] == [ready]
    assert received.events == [("c1", OptionsChanged("ru"))] and received.errors == []
    assert protocol.wants_partials("c1") is bool(had)


def test_a_second_init_of_the_base_mode_is_not_answered() -> None:
    protocol = NativeProtocol()
    protocol.receive(init(ext=["interim"]), 0.0)
    assert protocol.receive(init(), 1.0) == Received(events=[("c1", OptionsChanged(None))])
    assert protocol.wants_partials("c1")


def test_unknown_keys_are_accepted_and_ignored() -> None:
    message = init(v=1, metadata={"a": [1]})
    assert NativeProtocol().receive(message, 0.0) == Received(events=[("c1", CallStarted(None))])


CUT_EMOJI = "\\ud83d"
"""What JavaScript's JSON.stringify writes for a text that ends in the middle of an emoji."""


@pytest.mark.parametrize(
    "more",
    [f'"metadata":{{"caller":"A{CUT_EMOJI}"}}', f'"{CUT_EMOJI}":1', f'"ext":{{"{CUT_EMOJI}":1}}'],
)
def test_a_name_that_was_cut_inside_an_emoji_does_not_cost_the_call(more: str) -> None:
    message = f'{{"type":"init","callId":"c1","languageHint":"ru",{more}}}'
    assert NativeProtocol().receive(message, 0.0) == Received(events=[("c1", CallStarted("ru"))])


def test_a_language_hint_that_was_cut_inside_an_emoji_counts_as_auto() -> None:
    message = f'{{"type":"init","callId":"c1","languageHint":"{CUT_EMOJI}"}}'
    assert NativeProtocol().receive(message, 0.0) == Received(events=[("c1", CallStarted(None))])


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            f'{{"type":"init","callId":"A{CUT_EMOJI}"}}',
            ("bad_message", None, f"expected a 'callId' of whole characters, got 'A{CUT_EMOJI}'"),
        ),
        (
            f'{{"type":"init{CUT_EMOJI}","callId":"c1"}}',
            ("bad_message", "c1", f"expected type 'init' or 'audio', got 'init{CUT_EMOJI}'"),
        ),
        (
            f'{{"type":"audio","callId":"A{CUT_EMOJI}"}}',
            ("bad_message", None, "expected a 'chunk' string, got none"),
        ),
        (
            f'{{"type":"audio","callId":"c1","chunk":"AAA{CUT_EMOJI}"}}',
            ("bad_audio", "c1", "expected base64 in 'chunk', got 4 characters that are not"),
        ),
    ],
)
def test_a_needed_field_that_was_cut_inside_an_emoji_is_named(
    message: str, error: tuple[str, str | None, str]
) -> None:
    protocol = opened()
    received = protocol.receive(message, 0.0)
    assert errors(received) == [error] and received.events == []
    told = json.loads(protocol.error(received.errors[0]))
    assert (told["code"], told["callId"], told["message"]) == error


@pytest.mark.parametrize("count", [1, 160, 320, 333, 16_000, 60_000])
def test_chunks_of_any_size_reach_the_call_unchanged(count: int) -> None:
    samples = np.arange(count, dtype=np.int16)
    received = opened().receive(audio(b64(samples)), 0.0)
    assert heard(received) == [("c1", samples.tolist())]
    assert received.errors == []


def test_several_calls_share_a_socket() -> None:
    protocol = opened("c1")
    assert protocol.receive(init("c2"), 0.0).events == [("c2", CallStarted(None))]
    assert heard(protocol.receive(audio(b64(FRAME), "c2"), 0.0)) == [("c2", FRAME.tolist())]
    assert heard(protocol.receive(audio(b64(FRAME), "c1"), 0.0)) == [("c1", FRAME.tolist())]


@pytest.mark.parametrize(
    "chunk",
    ["-_8", "-_8=", "+/8", "+/8=", "+/\r\n8="],
    ids=["url-safe bare", "url-safe padded", "bare", "padded", "line break"],
)
def test_base64_is_read_in_either_alphabet_with_or_without_padding(chunk: str) -> None:
    received = opened().receive(audio(chunk), 0.0)
    assert heard(received) == [("c1", [-5])]
    assert received.errors == []


@pytest.mark.parametrize("chunk", ["!!!!", "abcde", "a", "ab=cd", "звук", "ab cd"])
def test_invalid_base64_is_an_error_and_costs_only_that_chunk(chunk: str) -> None:
    protocol = opened()
    received = protocol.receive(audio(chunk), 0.0)
    text = f"expected base64 in 'chunk', got {len(chunk)} characters that are not"
    assert errors(received) == [("bad_audio", "c1", text)]
    assert received.events == []
    assert heard(protocol.receive(audio(b64(FRAME)), 0.1)) == [("c1", FRAME.tolist())]


def test_an_odd_byte_is_dropped_with_an_error_and_the_rest_is_used() -> None:
    chunk = base64.b64encode(b"\x01\x00\x02\x00\x03").decode()
    received = opened().receive(audio(chunk), 0.0)
    assert heard(received) == [("c1", [1, 2])]
    text = "expected 16-bit samples in 'chunk', got an odd number of bytes (5)"
    assert errors(received) == [("bad_audio", "c1", text)]


def test_an_empty_chunk_is_ignored_silently() -> None:
    assert opened().receive(audio(""), 0.0) == Received()
    assert NativeProtocol().receive(audio(""), 0.0) == Received()


BAD_MESSAGES: list[tuple[Any, str | None, str]] = [
    ([], None, "expected one JSON object, got an array"),
    ("init", None, "expected one JSON object, got a string"),
    (None, None, "expected one JSON object, got null"),
    ({}, None, "expected a 'type' string, got none"),
    ({"type": 1, "callId": "c1"}, "c1", "expected a 'type' string, got 1"),
    (
        {"type": "dtmf", "callId": "c1"},
        "c1",
        "expected type 'init' or 'audio', got 'dtmf'",
    ),
    ({"type": "init"}, None, "expected a 'callId' string, got none"),
    ({"type": "init", "callId": 42}, None, "expected a 'callId' string, got 42"),
    ({"type": "init", "callId": None}, None, "expected a 'callId' string, got null"),
    ({"type": "init", "callId": ""}, None, "expected a 'callId' of 1 to 128 characters, got 0"),
    (
        {"type": "init", "callId": "x" * 129},
        None,
        "expected a 'callId' of 1 to 128 characters, got 129",
    ),
    ({"type": "audio", "chunk": ""}, None, "expected a 'callId' string, got none"),
    ({"type": "audio", "callId": "c1"}, "c1", "expected a 'chunk' string, got none"),
    (
        {"type": "audio", "callId": "c1", "chunk": [1, 2]},
        "c1",
        "expected a 'chunk' string, got an array",
    ),
    (
        {"type": "audio", "callId": "c1", "chunk": {}},
        "c1",
        "expected a 'chunk' string, got an object",
    ),
    (
        {"type": "audio", "callId": True, "chunk": ""},
        None,
        "expected a 'callId' string, got true",
    ),
]


@pytest.mark.parametrize(("message", "call_id", "text"), BAD_MESSAGES)
def test_a_bad_message_is_one_error_that_names_what_was_expected(
    message: object, call_id: str | None, text: str
) -> None:
    protocol = opened()
    received = protocol.receive(json.dumps(message), 0.0)
    assert errors(received) == [("bad_message", call_id, text)]
    assert received.events == [] and received.close is None
    assert heard(protocol.receive(audio(b64(FRAME)), 0.1)) == [("c1", FRAME.tolist())]


def test_a_call_id_of_128_characters_is_accepted() -> None:
    assert NativeProtocol().receive(init("ы" * 128), 0.0).errors == []


def test_an_unknown_type_is_reported_once_per_type() -> None:
    protocol = NativeProtocol()
    counts = [
        len(protocol.receive(json.dumps({"type": name, "callId": "c1"}), 0.0).errors)
        for name in ("ping", "ping", "dtmf", "ping", "dtmf")
    ]
    assert counts == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"type":"init","callId":"c1"',
        '{"type":"init","callId":"c1"}}',
        "[" * 100_000,
        '{"type":"init","callId":"c1","x":' + "[" * 100_000,
        '{"type":"init","callId":NaN}',
        '{"type":"init","callId":"c1","x":NaN}',
        "\ud800",
    ],
)
def test_invalid_json_is_one_error(text: str) -> None:
    received = NativeProtocol().receive(text, 0.0)
    assert [error.code for error in received.errors] == ["bad_json"]
    assert str(received.errors[0]).startswith("expected one JSON object, got ")
    assert received.events == [] and received.close is None


def test_the_socket_closes_when_too_many_messages_are_no_json() -> None:
    protocol = opened()
    for _ in range(MAX_BAD_JSON):
        assert protocol.receive("nonsense", 0.0).close is None
    assert heard(protocol.receive(audio(b64(FRAME)), 0.1)) == [("c1", FRAME.tolist())]
    close = protocol.receive("nonsense", 0.2).close
    assert close == (1007, "more than 10 messages were not JSON")


def test_a_binary_frame_is_an_error_once() -> None:
    protocol = opened()
    text = "expected text frames of JSON, got a binary frame of 640 bytes"
    assert errors(protocol.receive(bytes(640), 0.0)) == [("bad_message", None, text)]
    assert protocol.receive(bytes(640), 0.02) == Received()
    assert heard(protocol.receive(audio(b64(FRAME)), 0.1)) == [("c1", FRAME.tolist())]


def test_audio_before_init_is_reported_once_and_delivered_after_it() -> None:
    protocol = NativeProtocol()
    text = "expected 'init' first for callId 'c1', got 'audio'"
    first = protocol.receive(audio(b64(FRAME)), 0.0)
    assert errors(first) == [("not_initialised", "c1", text)]
    assert protocol.receive(audio(b64(FRAME[:10])), 0.02) == Received()
    received = protocol.receive(init(), 0.04)
    assert received.events[0] == ("c1", CallStarted(None))
    assert heard(received) == [("c1", FRAME.tolist() + FRAME[:10].tolist())]
    assert received.errors == []


def test_only_the_newest_second_before_init_is_kept() -> None:
    protocol = NativeProtocol()
    samples = np.arange(SAMPLE_RATE + 500, dtype=np.int16)
    for start in range(0, len(samples), 300):
        protocol.receive(audio(b64(samples[start : start + 300])), 0.0)
    assert heard(protocol.receive(init(), 0.0)) == [("c1", samples[500:].tolist())]


def test_audio_waits_for_a_bounded_number_of_calls_of_which_the_oldest_makes_room() -> None:
    protocol = NativeProtocol()
    for n in range(MAX_CALLS + 1):
        received = protocol.receive(audio(b64(FRAME), f"c{n}"), 0.0)
        assert [error.code for error in received.errors] == ["not_initialised"]
    assert len(protocol.receive(init("c0"), 0.0).events) == 1
    assert len(protocol.receive(init("c1"), 0.0).events) == 2
    assert len(protocol.receive(init(f"c{MAX_CALLS}"), 0.0).events) == 2


def test_audio_that_waited_long_is_not_what_a_new_call_begins_with() -> None:
    protocol = NativeProtocol()
    protocol.receive(audio(b64(FRAME)), 0.0)
    assert [type(event) for _, event in protocol.receive(init(), 2.1).events] == [CallStarted]
    for now in (10.0, 40.0):
        protocol.receive(audio(b64(FRAME), "c2"), now)
    opening = protocol.receive(init("c2"), 40.1)
    assert heard(opening) == [("c2", FRAME.tolist())], "but not what came half a minute before"


def test_audio_of_a_call_that_we_ended_is_dropped_without_a_word_until_its_id_is_opened() -> None:
    protocol = opened()
    protocol.call_ended("c1")
    for n in range(20):
        received = protocol.receive(audio(b64(FRAME)), n * 0.02)
        assert not received.errors and not received.events
    opening = protocol.receive(init(languageHint="en"), 0.5)
    assert opening.events == [("c1", CallStarted("en"))], "nothing of the call before"
    assert heard(protocol.receive(audio(b64(FRAME)), 0.6)) == [("c1", FRAME.tolist())]


def test_calls_that_we_ended_leave_room_for_early_audio_of_others() -> None:
    protocol = NativeProtocol()
    for n in range(MAX_CALLS + 1):
        protocol.receive(init(f"c{n}"), 0.0)
        protocol.call_ended(f"c{n}")
        protocol.receive(audio(b64(FRAME), f"c{n}"), 0.0)
    protocol.receive(audio(b64(FRAME), "fresh"), 0.0)
    assert len(protocol.receive(init("fresh"), 0.0).events) == 2


def test_a_client_that_asks_for_interim_transcripts_is_told_so_and_gets_them() -> None:
    protocol = NativeProtocol()
    received = protocol.receive(init(ext=["clear", "interim", 7]), 0.0)
    assert [json.loads(answer) for answer in received.answers] == [
        {"type": "ready", "callId": "c1", "v": 1, "ext": ["interim"]}
    ]
    assert protocol.wants_partials("c1")
    told = [
        protocol.partial("c1", "I want to", 4, "en"),
        protocol.partial("c1", "I want to book", 4, "en"),
        protocol.transcript("c1", "caller", "I want to book.", 4),
        protocol.transcript("c1", "assistant", "Of course.", 9),
    ]
    common = {"type": "transcript", "callId": "c1"}
    caller = common | {"role": "caller", "utteranceId": "u4"}
    assert [json.loads(message or "") for message in told] == [
        caller | {"text": "I want to", "final": False, "rev": 1, "lang": "en"},
        caller | {"text": "I want to book", "final": False, "rev": 2, "lang": "en"},
        caller | {"text": "I want to book.", "final": True, "rev": 3},
        common
        | {"role": "assistant", "text": "Of course.", "final": True, "utteranceId": "a9", "rev": 1},
    ]


@pytest.mark.parametrize("ext", [None, [], "interim", {"interim": True}, 5])
def test_a_client_that_asks_for_nothing_stays_in_base_mode(ext: object) -> None:
    protocol = NativeProtocol()
    assert protocol.receive(init(ext=ext), 0.0).answers == []
    assert not protocol.wants_partials("c1")
    assert protocol.partial("c1", "I want", 1, "en") is None


def test_an_extension_we_do_not_have_is_not_granted() -> None:
    received = NativeProtocol().receive(init(ext=["binary"]), 0.0)
    assert json.loads(received.answers[0])["ext"] == []


def test_calls_of_one_socket_have_their_own_extensions() -> None:
    protocol = opened("plain")
    protocol.receive(init("rich", ext=["interim"]), 0.0)
    assert [protocol.wants_partials(call_id) for call_id in ("plain", "rich")] == [False, True]
    protocol.call_ended("rich")
    assert not protocol.wants_partials("rich")


def test_messages_out_have_exactly_the_given_fields() -> None:
    protocol = opened()
    assert json.loads(protocol.audio("c1", FRAME)) == {
        "type": "audio_out",
        "callId": "c1",
        "chunk": b64(FRAME),
    }
    assert json.loads(protocol.transcript("c1", "assistant", 'مرحبا "x"\n', 3)) == {
        "type": "transcript",
        "callId": "c1",
        "role": "assistant",
        "text": 'مرحبا "x"\n',
    }
    for call_id in ("c1", None):
        assert json.loads(protocol.error(ProtocolError("bad_audio", "why", call_id))) == {
            "type": "error",
            "callId": call_id,
            "code": "bad_audio",
            "message": "why",
        }

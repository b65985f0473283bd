"""Whatever arrives, the protocol does not raise, and a good call beside does not notice."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.base import Received
from gateway.protocols.native import NativeProtocol
from tests.protocols.test_native import FRAME, audio, b64, heard, init

texts = st.text(st.characters(), max_size=12)  # with surrogates, which st.text() leaves out
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
near_messages = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["init", "audio", "end", "audio_out"]) | json_values,
        "callId": st.sampled_from(["a", "b", ""]) | json_values,
        "chunk": st.sampled_from(["", "AAAA", "AAA", "-_8", "%%"]) | json_values,
        "languageHint": st.sampled_from(["auto", "en", "xx"]) | json_values,
        "ext": json_values,
    },
)
messages = (
    st.text(max_size=60)
    | st.binary(max_size=60)
    | json_values.map(json.dumps)
    | near_messages.map(json.dumps)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, max_size=12))
def test_a_good_call_is_not_disturbed_by_anything_else_on_its_socket(
    noise: list[str | bytes],
) -> None:
    protocol = NativeProtocol()
    protocol.receive(init("good"), 0.0)
    for step, message in enumerate(noise):
        now = 0.02 * step
        received = protocol.receive(message, now)
        assert all(call_id != "good" for call_id, _ in received.events)
        for error in received.errors:
            assert json.loads(protocol.error(error))["type"] == "error"
        good = protocol.receive(audio(b64(FRAME), "good"), now)
        assert heard(good) == [("good", FRAME.tolist())]
        assert good.errors == [] and good.close is None


@settings(max_examples=150, deadline=None)
@given(st.text() | st.binary() | json_values.map(json.dumps) | near_messages.map(json.dumps))
def test_one_message_causes_at_most_one_event_and_two_errors(message: str | bytes) -> None:
    received: Received = NativeProtocol().receive(message, 0.0)
    assert len(received.events) <= 1
    assert len(received.errors) <= 2

"""The demo's bundled recordings."""

from __future__ import annotations

import wave

from gateway.simulator.conversations import RECORDINGS_DIR, load_conversations


def test_there_is_a_conversation_of_three_turns_or_more_in_each_language() -> None:
    conversations = load_conversations()
    assert [c.language for c in conversations] == ["en", "ar", "ru"]
    assert all(len(c.lines) >= 3 for c in conversations)


def test_every_recording_is_gateway_audio_with_words_to_it() -> None:
    for conversation in load_conversations():
        for line in conversation.lines:
            with wave.open(str(line.path)) as wav:
                params = (wav.getnchannels(), wav.getsampwidth(), wav.getframerate())
            assert params == (1, 2, 16_000), line.path
            assert line.text
        assert all(0 < r.speech_end <= r.samples.size for r in conversation.recordings())


def test_no_recording_lies_there_unused() -> None:
    used = {line.path for c in load_conversations() for line in c.lines}
    assert set(RECORDINGS_DIR.glob("*.wav")) == used

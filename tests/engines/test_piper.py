"""Speech of the starter voices: one level, clean joins, no text that breaks it."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE, Samples
from gateway.engines.base import Speech, Word
from gateway.engines.bridge import WorkerPool
from gateway.engines.piper import PiperSettings, PiperSynthesizer, SpeechCache, VoiceSettings
from gateway.engines.piper_shape import (
    SOUND,
    active_rms,
)
from gateway.engines.piper_text import (
    SENTENCE_PAUSE_S,
    Piece,
)
from gateway.engines.piper_voice import Voice, load_voice
from gateway.errors import ModelError, SynthesisError

VOICES = Path(__file__).parents[2] / "models" / "starter" / "tts"
TEXTS = {
    "en": "I would like to help you. We are open from nine to five. Please call again tomorrow.",
    "ar": "مرحبا بكم في العيادة. نعمل من التاسعة إلى الخامسة. شكرا جزيلا لكم.",
    "ru": "Здравствуйте, я вам помогу. Мы работаем с девяти до пяти. Позвоните нам завтра.",
}
SETTINGS = PiperSettings(
    {language: VoiceSettings(VOICES / f"{language}.onnx") for language in TEXTS}
)

T = TypeVar("T")


@cache
def starter_voices() -> dict[str, Voice]:
    return {
        language: load_voice(language, settings, SETTINGS.level_dbfs)
        for language, settings in SETTINGS.voices.items()
    }


def with_synthesizer(
    body: Callable[[PiperSynthesizer], Awaitable[T]],
    voices: dict[str, Voice] | None = None,
    workers: int = 1,
) -> T:
    async def main() -> T:
        pool = WorkerPool("tts", workers)
        synthesizer = PiperSynthesizer(voices or starter_voices(), pool, SETTINGS)
        try:
            return await body(synthesizer)
        finally:
            await synthesizer.close()

    return asyncio.run(main())


async def collect(stream: AsyncGenerator[Speech, None]) -> list[Speech]:
    return [speech async for speech in stream]


def speak_words(text: str, language: str) -> list[Speech]:
    return with_synthesizer(lambda synthesizer: collect(synthesizer.stream(text, language)))


def speak(text: str, language: str) -> list[Samples]:
    return [speech.samples for speech in speak_words(text, language)]


def level_db(samples: Samples) -> float:
    return float(20 * np.log10(active_rms(samples)))


def test_every_voice_speaks_sentence_by_sentence_at_one_level() -> None:
    for language, text in TEXTS.items():
        pieces = speak(text, language)
        assert len(pieces) == 3
        assert level_db(np.concatenate(pieces)) == pytest.approx(SETTINGS.level_dbfs, abs=2.5)
        for piece in pieces:
            assert piece.dtype == np.int16
            assert level_db(piece) == pytest.approx(SETTINGS.level_dbfs, abs=4.0)
            assert np.abs(piece.astype(int)).max() < 32767


def test_pieces_join_without_a_click_and_with_a_short_pause() -> None:
    for language, text in TEXTS.items():
        for piece in speak(text, language):
            assert piece[0] == 0
            pause = round(SENTENCE_PAUSE_S * SAMPLE_RATE)
            assert not piece[-pause:].any()
            sound = np.flatnonzero(np.abs(piece.astype(int)) > SOUND)
            assert sound[0] <= 0.03 * SAMPLE_RATE
            assert len(piece) - sound[-1] <= pause + 0.05 * SAMPLE_RATE


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("text", ["", "  \n ", "...", "?!", "😀👍🏽", "[[ ]]", "***", "\x00\u200f"])
def test_text_without_words_is_silence(text: str, language: str) -> None:
    assert speak(text, language) == []


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(
    "text",
    [
        "12:30",
        "Привет hello مرحبا 你好 😀!",
        "a\x00b [[x]] <speak> & \u202etfel",
        "word " * 60,
        ("Привет hello مرحبا, 12! " * 90)[:2000],
        "x" * 450,
        "٣ ١٢,5% №7",
    ],
)
def test_odd_text_is_spoken_without_an_error(text: str, language: str) -> None:
    assert speak(text, language)


@pytest.mark.parametrize("language", TEXTS)
def test_calls_that_speak_at_once_hear_what_they_hear_alone(language: str) -> None:
    other = next(other for other in TEXTS if other != language)

    async def body(synthesizer: PiperSynthesizer) -> list[list[Speech]]:
        streams = [
            synthesizer.stream(TEXTS[spoken] + " " * call, spoken)
            for call in range(4)
            for spoken in (language, other)
        ]
        return await asyncio.gather(*map(collect, streams))

    alone = np.concatenate(speak(TEXTS[language], language))
    for together in with_synthesizer(body, workers=2)[::2]:
        samples = np.concatenate([speech.samples for speech in together])
        np.testing.assert_array_equal(samples, alone)


def test_a_reply_in_another_script_is_spoken_by_the_voice_of_that_language() -> None:
    """A chat model answers "Спасибо" in Russian, whatever language the call is in."""
    (meant,) = speak("Пожалуйста!", "ru")
    (heard,) = speak("Пожалуйста!", "en")
    np.testing.assert_array_equal(heard, meant)


def test_a_language_without_a_voice_is_named() -> None:
    with pytest.raises(SynthesisError, match="no voice for language 'de'; voices: en, ar, ru"):
        speak("Guten Tag.", "de")


def test_a_fixed_phrase_is_spoken_from_the_cache() -> None:
    calls: list[str] = []

    class Counting:
        def speak(self, piece: Piece) -> Speech:
            calls.append(piece.text)
            samples = np.random.default_rng(len(calls)).integers(-99, 99, 800).astype(np.int16)
            return Speech(samples, (Word(piece.text, 700),))

    async def body(synthesizer: PiperSynthesizer) -> tuple[list[Speech], list[Speech]]:
        text = "Hello. One moment."
        first = await collect(synthesizer.stream(text, "en"))
        return first, await collect(synthesizer.stream(text, "en"))

    first, again = with_synthesizer(body, {"en": cast(Voice, Counting())})
    assert calls == ["Hello.", "One moment."]
    assert len(first) == 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.words == other.words
        assert not one.samples.flags.writeable


def test_calls_that_begin_together_have_their_greeting_spoken_once() -> None:
    spoken: list[str] = []

    class Recording:
        def speak(self, piece: Piece) -> Speech:
            spoken.append(piece.text)
            return Speech(np.full(160, len(spoken), np.int16), (Word(piece.text, 160),))

    async def body(synthesizer: PiperSynthesizer) -> list[list[Speech]]:
        greetings = (synthesizer.stream("Hello. One moment.", "en") for _ in range(60))
        return await asyncio.gather(*map(collect, greetings))

    heard = with_synthesizer(body, {"en": cast(Voice, Recording())})
    assert spoken == ["Hello.", "One moment."]
    assert [[speech.samples[0] for speech in each] for each in heard] == 60 * [[1, 2]]


def test_a_phrase_for_which_the_voice_had_no_sound_is_tried_again() -> None:
    class Recovering:
        def __init__(self) -> None:
            self.lengths = [0, 160]

        def speak(self, piece: Piece) -> Speech:
            return Speech(np.ones(self.lengths.pop(0), np.int16), (Word(piece.text, 160),))

    async def body(synthesizer: PiperSynthesizer) -> list[list[Speech]]:
        return [await collect(synthesizer.stream("Hello.", "en")) for _ in range(3)]

    silence, *spoken = with_synthesizer(body, {"en": cast(Voice, Recovering())})
    assert silence == [] and [len(speech.samples) for (speech,) in spoken] == [160, 160]


def test_a_stopped_reply_skips_the_sentences_that_have_not_started() -> None:
    spoken: list[str] = []

    class Recording:
        def speak(self, piece: Piece) -> Speech:
            spoken.append(piece.text)
            return Speech(np.full(160, 5, np.int16), (Word(piece.text, 160),))

    async def body(synthesizer: PiperSynthesizer) -> None:
        stream = synthesizer.stream("One. Two. Three. Four. Five. Six.", "en")
        await anext(stream)
        await stream.aclose()

    with_synthesizer(body, {"en": cast(Voice, Recording())})
    assert len(spoken) <= 2


def test_what_a_caller_waits_for_is_spoken_before_what_is_needed_later() -> None:
    spoken: list[str] = []
    begun, gate = threading.Event(), threading.Event()

    class Slow:
        def speak(self, piece: Piece) -> Speech:
            spoken.append(piece.text)
            begun.set()
            gate.wait()
            return Speech(np.full(160, 5, np.int16), (Word(piece.text, 160),))

    async def body(synthesizer: PiperSynthesizer) -> None:
        needs = {"Busy.": -math.inf, "Guess.": math.inf, "Playing.": 1e12, "Now.": -math.inf}
        streams = []
        for text, at in needs.items():
            stream = synthesizer.stream(text, "en", partial(float, at))
            streams.append(asyncio.create_task(collect(stream)))
            await asyncio.to_thread(begun.wait)
        assert synthesizer.current_load.waiting == 3
        gate.set()
        await asyncio.gather(*streams)

    with_synthesizer(body, {"en": cast(Voice, Slow())})
    assert spoken == ["Busy.", "Now.", "Guess.", "Playing."]


def test_an_interrupted_phrase_is_spoken_whole_the_next_time() -> None:
    async def body(synthesizer: PiperSynthesizer) -> int:
        stream = synthesizer.stream(TEXTS["en"], "en")
        await anext(stream)
        await stream.aclose()
        return len(await collect(synthesizer.stream(TEXTS["en"], "en")))

    assert with_synthesizer(body) == 3


def test_the_cache_is_bounded_and_forgets_the_least_recently_used() -> None:
    def key(text: str) -> tuple[Piece, str]:
        return Piece(text, 0.0), "en"

    def silence(samples: int) -> Speech:
        return Speech(np.zeros(samples, np.int16), ())

    cache = SpeechCache(max_samples=250)
    for name in ("a", "b"):
        cache.put(key(name), silence(100))
    assert cache.get(key("a")) is not None
    cache.put(key("c"), silence(100))
    assert cache.get(key("b")) is None
    assert cache.get(key("a")) is not None
    cache.put(key("huge"), silence(300))
    assert len(cache) == 0


@pytest.fixture
def voice_copy(tmp_path: Path) -> Iterator[Path]:
    for suffix in (".onnx", ".onnx.json"):
        shutil.copy(VOICES / f"ru{suffix}", tmp_path / f"voice{suffix}")
    yield tmp_path / "voice.onnx"


def load_error(language: str, settings: VoiceSettings) -> str:
    with pytest.raises(ModelError) as caught:
        asyncio.run(PiperSynthesizer.load(PiperSettings({language: settings})))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_voice_file_is_named(voice_copy: Path) -> None:
    (voice_copy.parent / "voice.onnx.json").unlink()
    assert "voice.onnx.json does not exist" in load_error("ru", VoiceSettings(voice_copy))
    voice_copy.unlink()
    assert "voice.onnx does not exist" in load_error("ru", VoiceSettings(voice_copy))


@pytest.mark.parametrize("content", [b"not a model", b""])
def test_a_damaged_voice_says_what_to_do(voice_copy: Path, content: bytes) -> None:
    voice_copy.write_bytes(content)
    assert "download it again" in load_error("ru", VoiceSettings(voice_copy))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"num_symbols": 1}'])
def test_a_wrong_configuration_says_what_to_do(voice_copy: Path, content: str) -> None:
    voice_copy.with_name("voice.onnx.json").write_text(content)
    assert "not a Piper voice configuration" in load_error("ru", VoiceSettings(voice_copy))


def edit_config(voice: Path, changes: dict[str, Any]) -> None:
    config = voice.with_name("voice.onnx.json")
    config.write_text(json.dumps(json.loads(config.read_bytes()) | changes))


@pytest.mark.parametrize("rate", [0, -1, "x", 1.5, 10**12])
def test_a_sample_rate_that_cannot_be_says_what_to_do(voice_copy: Path, rate: object) -> None:
    edit_config(voice_copy, {"audio": {"sample_rate": rate}})
    message = load_error("ru", VoiceSettings(voice_copy))
    assert f"sample rate {rate!r}" in message and "download it again" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phoneme_type": "pinyin"}, "needs a package that is not installed"),
        ({"espeak": {"voice": 5}}, "damaged or not a Piper voice"),
        ({"inference": {"noise_scale": "x"}}, "does not work"),
    ],
)
def test_a_configuration_that_piper_cannot_use_is_told_in_one_line(
    voice_copy: Path, changes: dict[str, Any], words: str
) -> None:
    edit_config(voice_copy, changes)
    assert words in load_error("ru", VoiceSettings(voice_copy))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "cannot be read (Permission denied)"),
        (MemoryError(), "does not fit into the free memory"),
    ],
)
def test_a_voice_that_cannot_be_read_says_why(
    voice_copy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(path: Path) -> bytes:
        raise error

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert words in load_error("ru", VoiceSettings(voice_copy))


def test_a_phoneme_beyond_those_of_the_model_is_told_before_a_call_needs_it(
    voice_copy: Path,
) -> None:
    sounds = json.loads(voice_copy.with_name("voice.onnx.json").read_bytes())["phoneme_id_map"]
    edit_config(voice_copy, {"phoneme_id_map": sounds | {"ð": [9999]}})
    assert "numbers a phoneme 9999" in load_error("ru", VoiceSettings(voice_copy))


def test_a_voice_that_spells_its_phoneme_type_as_python_does_speaks(voice_copy: Path) -> None:
    """As some published voices do; their language is checked too."""
    edit_config(voice_copy, {"phoneme_type": "PhonemeType.ESPEAK"})
    piece = Piece(TEXTS["ru"], SENTENCE_PAUSE_S)
    assert len(load_voice("ru", VoiceSettings(voice_copy), -20.0).speak(piece).samples)
    assert "speaks 'ru'" in load_error("en", VoiceSettings(voice_copy))


def test_a_voice_that_cannot_be_heard_is_refused(voice_copy: Path) -> None:
    sounds = json.loads(voice_copy.with_name("voice.onnx.json").read_bytes())["phoneme_id_map"]
    edit_config(voice_copy, {"phoneme_id_map": {key: sounds[key] for key in ("^", "$", "_")}})
    assert "cannot be heard" in load_error("ru", VoiceSettings(voice_copy))


def test_a_voice_of_another_language_is_refused(voice_copy: Path) -> None:
    assert "speaks 'ru'" in load_error("en", VoiceSettings(voice_copy))


def test_a_speaker_the_voice_lacks_is_refused(voice_copy: Path) -> None:
    assert "speakers 0 to 0, got speaker 3" in load_error("ru", VoiceSettings(voice_copy, 3))


def test_no_voice_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="no voice is configured"):
        asyncio.run(PiperSynthesizer.load(PiperSettings({})))


def test_the_pace_follows_the_length_scale() -> None:
    def duration(scale: float | None) -> int:
        voice = load_voice("ru", VoiceSettings(VOICES / "ru.onnx", None, scale), -20.0)
        return len(voice.speak(Piece("Здравствуйте, чем я могу помочь?", 0.0)).samples)

    assert duration(1.3) > 1.15 * duration(None)

"""Speech recognition with the starter model on speech of the starter voices."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from gateway.audio.pcm import SAMPLE_RATE, Samples
from gateway.engines.base import Priority, TranscribeRequest, Transcript
from gateway.engines.bridge import WorkerPool
from gateway.engines.piper_text import Piece
from gateway.engines.piper_voice import Voice, VoiceSettings, load_voice
from gateway.engines.whisper import WhisperSettings, WhisperTranscriber, load_model
from gateway.engines.whisper_load import open_whisper
from gateway.engines.whisper_model import CONTEXT_TOKENS, Clip, Recognition, RecognitionModel
from gateway.engines.whisper_window import (
    FULL_WINDOW,
    SHORT_WINDOWS,
    choose_window,
)
from gateway.errors import TranscriptionError

STARTER = Path(__file__).parents[2] / "models" / "starter"
SETTINGS = WhisperSettings(STARTER / "stt", device="cpu", threads=1)
VOICES = {"en": "en_espeak.onnx", "ar": "ar.onnx", "ru": "ru.onnx"}

SENTENCES = [
    ("en", "I would like to book an appointment for tomorrow."),
    ("en", "What time do you open on Saturday?"),
    ("en", "I need an eye exam as soon as possible."),
    ("ru", "Сколько это стоит?"),
    ("ru", "Какая у вас электронная почта?"),
    ("ru", "У вас есть свободное время послезавтра?"),
    ("ar", "هل تعملون في نهاية الأسبوع؟"),
    ("ar", "هل عندكم موعد متاح يوم الأحد؟"),
    ("ar", "أحتاج موعدا يوم السبت في المساء."),
]

NOISE = np.random.default_rng(1).normal(0, 3000, SAMPLE_RATE).astype(np.int16)

T = TypeVar("T")


@cache
def starter_model() -> RecognitionModel:
    return load_model(SETTINGS)


@cache
def starter_voice(language: str) -> Voice:
    path = STARTER / "tts" / VOICES[language]
    return load_voice(language, VoiceSettings(path), level_dbfs=-20.0)


@cache
def speech(language: str, text: str) -> Samples:
    return starter_voice(language).speak(Piece(text, 0.1)).samples


def with_transcriber(
    body: Callable[[WhisperTranscriber], Awaitable[T]],
    model: RecognitionModel | None = None,
    settings: WhisperSettings = SETTINGS,
) -> T:
    async def main() -> T:
        pool = WorkerPool("stt", 1)
        transcriber = WhisperTranscriber(model or starter_model(), pool, settings)
        try:
            return await body(transcriber)
        finally:
            await transcriber.close()

    return asyncio.run(main())


def transcribe(*requests: TranscribeRequest) -> list[Transcript]:
    async def body(transcriber: WhisperTranscriber) -> list[Transcript]:
        return list(await asyncio.gather(*map(transcriber.transcribe, requests)))

    return with_transcriber(body)


def words(text: str) -> list[str]:
    return re.sub(r"[^\w ]", " ", text.lower().replace("ё", "е")).split()


def word_errors(expected: Sequence[str], heard: Sequence[str]) -> int:
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], number
        for column, other in enumerate(heard, 1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other))
            diagonal, row[column] = row[column], best
    return row[-1]


def test_spoken_sentences_are_recognised_in_their_language() -> None:
    results = transcribe(*(TranscribeRequest(speech(*sentence)) for sentence in SENTENCES))
    assert [result.language for result in results] == [language for language, _ in SENTENCES]
    expected = [words(text) for _, text in SENTENCES]
    errors = sum(
        word_errors(truth, words(result.text))
        for truth, result in zip(expected, results, strict=True)
    )
    assert errors / sum(map(len, expected)) < 0.35
    for result in results:
        assert 0.5 < result.language_probability <= 1.0
        assert result.avg_logprob <= 0.0


def test_a_batch_of_mixed_languages_equals_single_requests() -> None:
    clips = [Clip(speech(*sentence), None) for sentence in SENTENCES[:8]]
    together = starter_model().recognise(clips, SHORT_WINDOWS[3])
    single = [starter_model().recognise([clip], SHORT_WINDOWS[3])[0] for clip in clips]
    assert [r.text for r in together] == [r.text for r in single]
    assert [r.language for r in together] == [r.language for r in single]


def test_a_short_window_hears_what_the_full_window_hears() -> None:
    clips = [Clip(speech(*sentence), sentence[0]) for sentence in SENTENCES[:6:2]]
    short = starter_model().recognise(clips, SHORT_WINDOWS[3])
    full = starter_model().recognise(clips, FULL_WINDOW)
    heard = [words(result.text) for result in full]
    errors = sum(word_errors(h, words(s.text)) for h, s in zip(heard, short, strict=True))
    assert errors / sum(map(len, heard)) <= 0.35


def test_hotwords_of_any_length_are_accepted_in_a_mixed_batch() -> None:
    hotwords = {"en": "The clinic of Doctor Wells. " * 80, "ru": "Клиника Жемчуг", "ar": "اللؤلؤة"}
    model = load_model(replace(SETTINGS, hotwords=hotwords, beam_size=2))
    by_language = {language: Clip(speech(language, text), None) for language, text in SENTENCES}
    found = model.recognise(list(by_language.values()), SHORT_WINDOWS[3])
    assert [recognition.language for recognition in found] == list(by_language)


class Endless:
    """The starter model with a decoder that never comes to an end, and what it was asked for."""

    def __init__(self, hotwords: Mapping[str, str]) -> None:
        languages = SETTINGS.languages
        whisper = open_whisper(SETTINGS.model_path, languages, "cpu", threads=1)
        self._genuine, whisper.model = whisper.model, cast(Any, self)
        self.tokenizer = whisper.hf_tokenizer
        self.end = self.tokenizer.token_to_id("<|endoftext|>")
        self.prompts: list[list[int]] = []
        self.decoded: list[int] = []
        self.recogniser = RecognitionModel(whisper, languages, hotwords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._genuine, name)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        options |= {"suppress_tokens": [self.end], "suppress_blank": False}
        results = self._genuine.generate(encoded, prompts, **options)
        self.prompts += prompts
        self.decoded += [len(result.sequences_ids[0]) for result in results]
        return results

    def hear(self, duration_s: float, language: str = "en") -> None:
        clip = Clip(np.resize(NOISE, round(duration_s * SAMPLE_RATE)), language)
        self.recogniser.recognise([clip], choose_window(len(clip.samples), "auto"))


@pytest.mark.parametrize("line", ["", "Doctor Wells. " * 80], ids=["no prompt", "long prompt"])
def test_a_transcript_may_be_as_long_as_the_fastest_speech(line: str) -> None:
    model = Endless({"en": line})
    for duration_s in (2.0, 25.0):
        model.hear(duration_s)
    room = CONTEXT_TOKENS - len(model.prompts[0])
    expected = [min(tokens, room) for tokens in (56, 224)]
    extra = [decoded - least for decoded, least in zip(model.decoded, expected, strict=True)]
    assert set(extra) <= {0, 1}


def test_hotwords_of_every_language_reach_the_decoder_whole() -> None:
    hotwords = {"en": "Pearl", "ru": "Клиника Жемчуг, улица Лесная, доктор Анна", "ar": "اللؤلؤة"}
    model = Endless(hotwords)
    for language in hotwords:
        model.hear(0.1, language)
    assert len({len(prompt) for prompt in model.prompts}) == 1, "they can be in one batch"
    for prompt, line in zip(model.prompts, hotwords.values(), strict=True):
        assert model.tokenizer.decode(prompt).endswith(f" {line}")


def test_hotwords_reach_the_decoder() -> None:
    model = load_model(replace(SETTINGS, hotwords=dict.fromkeys(SETTINGS.languages, "Pearl")))
    clip = Clip(speech(*SENTENCES[0]), "en")
    plain = starter_model().recognise([clip], SHORT_WINDOWS[3])[0]
    assert model.recognise([clip], SHORT_WINDOWS[3])[0].avg_logprob != plain.avg_logprob


def test_a_pinned_language_is_used() -> None:
    result = transcribe(TranscribeRequest(speech(*SENTENCES[0]), language="ru"))[0]
    assert result.language == "ru"
    assert result.language_probability == 1.0


def test_a_language_that_is_not_configured_is_named() -> None:
    with pytest.raises(TranscriptionError, match="'de'"):
        transcribe(TranscribeRequest(speech(*SENTENCES[0]), language="de"))


def test_nothing_said_gives_an_empty_text() -> None:
    noise = np.random.default_rng(5).normal(0.0, 300.0, 2 * SAMPLE_RATE).astype(np.int16)
    quiet = [np.zeros(0, np.int16), np.zeros(SAMPLE_RATE, np.int16), np.ones(1, np.int16), noise]
    assert [result.text for result in transcribe(*map(TranscribeRequest, quiet))] == [""] * 4


def test_clipped_speech_does_not_fail() -> None:
    clipped = np.clip(speech(*SENTENCES[0]).astype(np.int32) * 50, -32768, 32767).astype(np.int16)
    assert transcribe(TranscribeRequest(clipped))[0].language in SETTINGS.languages


def test_five_minutes_are_recognised_in_pieces() -> None:
    sentence = np.pad(speech(*SENTENCES[0]), (0, 2 * SAMPLE_RATE))
    long = np.tile(sentence, 300 * SAMPLE_RATE // len(sentence))
    heard = words(transcribe(TranscribeRequest(long, language="en"))[0].text)
    assert heard.count("appointment") >= 5


def test_a_cancelled_request_is_not_computed() -> None:
    model = Scripted([recognition("first"), recognition("unwanted")])
    model.gate.clear()

    async def body(transcriber: WhisperTranscriber) -> str:
        first = asyncio.create_task(transcriber.transcribe(TranscribeRequest(NOISE)))
        await asyncio.to_thread(model.started.wait)
        unwanted = asyncio.create_task(transcriber.transcribe(TranscribeRequest(NOISE)))
        await asyncio.sleep(0)
        unwanted.cancel()
        await asyncio.gather(unwanted, return_exceptions=True)
        model.gate.set()
        return (await first).text

    assert with_transcriber(body, cast(RecognitionModel, model)) == "first"
    assert model.windows == [200]


def test_a_model_that_fails_gives_a_transcription_error() -> None:
    clip = Clip(np.zeros(3 * SAMPLE_RATE, np.int16), "en")
    with pytest.raises(TranscriptionError, match="speech recognition failed"):
        starter_model().recognise([clip], window=FULL_WINDOW + 2)


class Scripted:
    """Stands in for the model: gives prepared results and notes the windows asked for."""

    languages = ("en",)

    def __init__(self, results: list[Recognition]) -> None:
        self._results = results
        self.windows: list[int] = []
        self.started, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def recognise(self, clips: Sequence[Clip], window: int) -> list[Recognition]:
        self.windows.append(window)
        self.started.set()
        self.gate.wait()
        return [self._results.pop(0) for _ in clips]


def recognition(text: str, avg_logprob: float = -0.2) -> Recognition:
    return Recognition(text, "en", 1.0, avg_logprob, 0.1)


def hear(model: Scripted, priority: Priority = Priority.FINAL) -> str:
    request = TranscribeRequest(NOISE, priority=priority)
    return with_transcriber(
        lambda transcriber: transcriber.transcribe(request), cast(RecognitionModel, model)
    ).text


def test_a_degenerate_result_is_tried_again_in_the_full_window() -> None:
    model = Scripted([recognition("guess", -1.5), recognition("hello")])
    assert hear(model) == "hello"
    assert model.windows == [200, FULL_WINDOW]


def test_a_result_that_stays_degenerate_is_nothing() -> None:
    model = Scripted([recognition("guess", -1.5), recognition("worse", -2.0)])
    assert hear(model) == ""
    assert model.windows == [200, FULL_WINDOW]


def test_a_degenerate_partial_is_not_tried_again() -> None:
    model = Scripted([recognition("guess", -1.5)])
    assert hear(model, Priority.PARTIAL) == ""
    assert model.windows == [200]


def test_a_caller_who_repeats_himself_is_heard_after_a_second_attempt() -> None:
    said = " ".join(7 * ["нет"])
    model = Scripted([recognition(said), recognition(said)])
    assert hear(model) == said
    assert model.windows == [200, FULL_WINDOW]
    assert hear(Scripted([recognition(said)]), Priority.PARTIAL) == said, "and at once in a partial"


def test_credits_that_the_decoder_makes_up_are_nothing_at_once() -> None:
    for priority in (Priority.FINAL, Priority.PARTIAL):
        model = Scripted([recognition("Субтитры сделал DimaTorzok")])
        assert hear(model, priority) == ""
        assert model.windows == [200]


def test_a_loop_of_the_decoder_is_nothing_after_a_second_attempt() -> None:
    loop = "ля" * 21
    assert hear(Scripted([recognition(loop), recognition(loop)])) == ""

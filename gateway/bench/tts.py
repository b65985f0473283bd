"""Speech synthesis alone: the gateway's engine against PiperVoice.synthesize."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

from gateway.audio.pcm import seconds
from gateway.bench.report import Report, ratio, spread
from gateway.engines.base import Synthesizer
from gateway.loading import load_voices
from gateway.settings import Settings

TOGETHER = 4

# Texts carry a number, so that none is known from before.
_TEXTS = {
    "en": ("Certainly, number {},", "We are open on day {} from nine in the morning until six."),
    "ar": ("بالتأكيد، رقم {}،", "نحن نعمل في اليوم {} من التاسعة صباحا حتى السادسة مساء."),
    "ru": ("Конечно, номер {},", "Мы открыты в день {} с девяти утра до шести вечера."),
}


async def bench_tts(settings: Settings, runs: int) -> Report:
    """Time to the first audio of a clause, and speed of whole sentences, by language."""
    ours = await load_voices(settings)
    languages: Report = {}
    try:
        for language in settings.languages:
            plain = await asyncio.to_thread(_plain_voice, settings, language)
            languages[language] = await _bench_voice(ours, plain, language, runs)
    finally:
        await ours.close()
    return languages


async def _bench_voice(
    ours: Synthesizer, plain: Callable[[str], float], language: str, runs: int
) -> Report:
    clause, sentence = _TEXTS[language]
    first: list[float] = []
    library: list[float] = []
    alone: list[float] = []
    together: list[float] = []
    await asyncio.to_thread(plain, clause.format(0))
    for run in range(runs):
        base = 10 + 10 * run
        started = time.perf_counter()
        first.append(await _first_audio(ours, clause.format(base), language) - started)
        library.append(await asyncio.to_thread(plain, clause.format(base)))
        alone.append(await _speed(ours, [sentence.format(base + 1)], language))
        texts = [sentence.format(base + 2 + index) for index in range(TOGETHER)]
        together.append(await _speed(ours, texts, language))
    report: Report = {
        "library_first_audio_ms": spread([1000 * t for t in library]),
        "first_audio_ms": spread([1000 * t for t in first]),
        "times_real_time_alone": spread(alone),
        f"times_real_time_{TOGETHER}_at_once": spread(together),
    }
    report[f"throughput_of_{TOGETHER}_against_one"] = ratio(
        report[f"times_real_time_{TOGETHER}_at_once"]["median"],
        report["times_real_time_alone"]["median"],
    )
    return report


async def _first_audio(ours: Synthesizer, text: str, language: str) -> float:
    async with aclosing(ours.stream(text, language)) as parts:
        await anext(parts)
        return time.perf_counter()


async def _speed(ours: Synthesizer, texts: list[str], language: str) -> float:
    """Seconds of speech made in one second."""

    async def speak(text: str) -> int:
        return sum([len(part.samples) async for part in ours.stream(text, language)])

    started = time.perf_counter()
    counts = await asyncio.gather(*(speak(text) for text in texts))
    return seconds(sum(counts)) / (time.perf_counter() - started)


def _plain_voice(settings: Settings, language: str) -> Callable[[str], float]:
    from piper import PiperVoice

    voice = PiperVoice.load(str(settings.voice_paths[language]))

    def first_audio(text: str) -> float:
        started = time.perf_counter()
        next(iter(voice.synthesize(text)))
        return time.perf_counter() - started

    return first_audio

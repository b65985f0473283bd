"""Speech recognition alone: the gateway's engine against WhisperModel.transcribe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples, samples_of
from gateway.bench.report import Report, ratio, spread
from gateway.engines.base import TranscribeRequest
from gateway.loading import load_transcriber
from gateway.settings import Settings
from gateway.simulator.conversations import load_conversations
from gateway.thread_budget import ThreadBudget

BATCH = 8


async def bench_stt(
    settings: Settings, budget: ThreadBudget, runs: int, utterance_s: float
) -> Report:
    """Latency of one utterance, and throughput of many at once.

    Both sides use the same beam size, no temperature fall-back, the first language that is served,
    and equally many threads; the library encodes 30 s for every utterance, as it always does. Where
    the budget has several batches at the same time, one utterance has the threads of one of them.

    Args:
        utterance_s: length of each utterance, seconds.
    """
    language = settings.languages[0]
    utterances = _utterances(language, utterance_s)
    ours = await load_transcriber(settings, budget)
    threads = budget.stt * budget.stt_workers
    plain = await asyncio.to_thread(_plain_whisper, settings, language, threads)

    async def recognise(samples: Samples) -> None:
        await ours.transcribe(TranscribeRequest(samples, language))

    async def recognise_plainly(samples: Samples) -> None:
        await asyncio.to_thread(plain, samples)

    async def one_by_one() -> None:
        for samples in utterances:
            await recognise(samples)

    async def together() -> None:
        await asyncio.gather(*(recognise(samples) for samples in utterances))

    single: list[float] = []
    library: list[float] = []
    serial: list[float] = []
    batched: list[float] = []
    try:
        await recognise_plainly(utterances[0])
        for run in range(runs):
            # In turns, so that whatever else the machine does disturbs all of them alike.
            samples = utterances[run % BATCH]
            library.append(await _timed(partial(recognise_plainly, samples)))
            single.append(await _timed(partial(recognise, samples)))
            serial.append(await _timed(one_by_one))
            batched.append(await _timed(together))
    finally:
        await ours.close()
    report: Report = {
        "utterance_s": utterance_s,
        "library_latency_ms": spread([1000 * t for t in library]),
        "latency_ms": spread([1000 * t for t in single]),
        "speech_per_second_one_by_one": spread([BATCH * utterance_s / t for t in serial]),
        f"speech_per_second_{BATCH}_at_once": spread([BATCH * utterance_s / t for t in batched]),
    }
    report["times_faster_than_library"] = ratio(
        report["library_latency_ms"]["median"], report["latency_ms"]["median"]
    )
    report["throughput_gain_of_batching"] = ratio(
        report[f"speech_per_second_{BATCH}_at_once"]["median"],
        report["speech_per_second_one_by_one"]["median"],
    )
    return report


def _utterances(language: str, utterance_s: float) -> list[Samples]:
    """Speech of the demo's caller in a language, each utterance beginning elsewhere."""
    spoken = [c for c in load_conversations() if c.language == language]
    speech = np.concatenate([r.samples for c in spoken for r in c.recordings()])
    length, step = samples_of(utterance_s), SAMPLE_RATE
    return [np.resize(np.roll(speech, -step * index), length) for index in range(BATCH)]


def _plain_whisper(settings: Settings, language: str, threads: int) -> Callable[[Samples], str]:
    from faster_whisper import WhisperModel

    device = settings.stt_device
    compute = settings.compute_type
    model = WhisperModel(
        str(settings.stt_path),
        device=device,
        compute_type="int8" if compute == "auto" and device != "cuda" else compute,
        cpu_threads=threads,
        local_files_only=True,
    )

    beam_size = settings.beam_size

    def transcribe(samples: Samples) -> str:
        segments, _ = model.transcribe(
            samples.astype(np.float32) / 32768,
            language=language,
            beam_size=beam_size,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return "".join(segment.text for segment in segments)

    return transcribe


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started

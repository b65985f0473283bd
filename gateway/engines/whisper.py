"""Speech recognition with a CTranslate2 Whisper model, batched across calls.

Whisper is made for 30 s windows. An utterance is encoded in a window just longer than itself,
which is many times cheaper; a result that looks made up is tried again in the full window.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, seconds
from gateway.engines.base import EngineLoad, Priority, TranscribeRequest, Transcript
from gateway.engines.bridge import WorkerPool
from gateway.engines.microbatch import BatchPolicy, DroppedError, MicroBatcher
from gateway.engines.model_errors import model_errors
from gateway.engines.whisper_guards import Verdict, is_silent, judge, without_captions
from gateway.engines.whisper_load import Device, open_whisper
from gateway.engines.whisper_model import Clip, Recognition, RecognitionModel
from gateway.engines.whisper_window import (
    FULL_WINDOW,
    SHORT_WINDOWS,
    Window,
    choose_window,
    split_at_quiet,
)
from gateway.errors import TranscriptionError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WhisperSettings:
    """How to load and run the model.

    Attributes:
        model_path: CTranslate2 Whisper directory.
        languages: ISO 639-1 codes the callers speak; detection chooses among them.
        device: "cpu", "cuda", or "auto" for CUDA where there is a usable GPU.
        compute_type: CTranslate2 compute type; "auto" is int8 on a CPU and the best on a GPU.
        threads: CPU threads of one batch.
        workers: batches computed at the same time.
        window: "auto" encodes little more than the speech; "full" always 30 s.
        hotwords: per language, text that primes the decoder for names and spelling.
        beam_size: 1 is greedy, the fastest.
    """

    model_path: Path
    languages: tuple[str, ...] = ("en", "ar", "ru")
    device: Device = "auto"
    compute_type: str = "auto"
    threads: int = 2
    workers: int = 1
    window: Window = "auto"
    hotwords: Mapping[str, str] = field(default_factory=dict)
    beam_size: int = 1


class WhisperTranscriber:
    """A `Transcriber` over one Whisper model shared by all calls."""

    def __init__(
        self, model: RecognitionModel, pool: WorkerPool, settings: WhisperSettings
    ) -> None:
        """Use `load`; this expects a running event loop, a loaded model and its threads."""
        self._model = model
        self._pool = pool
        self._settings = settings
        self._batcher: MicroBatcher[int, Clip, Recognition] = MicroBatcher(
            self._compute, BatchPolicy(), settings.workers
        )

    @classmethod
    async def load(cls, settings: WhisperSettings) -> WhisperTranscriber:
        """Load and warm the model in a thread.

        Raises:
            ModelError: the model cannot be used; one line that says what to do.
        """
        pool = WorkerPool("stt", settings.workers)
        try:
            model = await pool.run(load_model, settings)
        except BaseException:
            await pool.close()
            raise
        return cls(model, pool, settings)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that can be recognised or pinned."""
        return self._model.languages

    @property
    def current_load(self) -> EngineLoad:
        """What waits for recognition, and for how long."""
        return self._batcher.current_load

    async def transcribe(self, request: TranscribeRequest) -> Transcript:
        """Recognise one utterance; see `gateway.engines.base.Transcriber`.

        A result that looks made up is tried once more in the full window (partials are not), and
        becomes an empty text if that does not help.

        Raises:
            TranscriptionError: the model failed, the pinned language is not configured, or the
                request was dropped under load.
        """
        language = request.language
        if language is not None and language not in self.languages:
            raise TranscriptionError(
                f"expected one of the languages {', '.join(self.languages)}, got {language!r}"
            )
        if is_silent(request.samples):
            return _nothing_said(language, self.languages)
        parts = []
        for piece in split_at_quiet(request.samples):
            # One by one: the pieces of one long utterance must not delay the other calls.
            part = await self._transcribe_piece(Clip(piece, language), request.priority)
            parts.append(_Part(part, seconds(len(piece))))
            language = part.language
        return _join(parts)

    async def close(self) -> None:
        """Finish what is waiting, then end the threads."""
        await self._batcher.close()
        await self._pool.close()

    async def _transcribe_piece(self, clip: Clip, priority: Priority) -> Recognition:
        window = choose_window(len(clip.samples), self._settings.window)
        may_retry = window < FULL_WINDOW and priority is not Priority.PARTIAL
        recognition = await self._recognise(clip, window, priority)
        verdict = self._judge(clip, recognition, last=not may_retry)
        if verdict is Verdict.DEGENERATE and may_retry:
            logger.info("degenerate transcript of %.1f s; trying again", seconds(len(clip.samples)))
            recognition = await self._recognise(clip, FULL_WINDOW, priority)
            verdict = self._judge(clip, recognition, last=True)
        return recognition if verdict is Verdict.GOOD else replace(recognition, text="")

    async def _recognise(self, clip: Clip, window: int, priority: Priority) -> Recognition:
        try:
            # Weighed in mel frames: long windows must not pile up in front of short ones.
            found = await self._batcher.submit(clip, window, priority, weight=window)
        except DroppedError as error:
            raise TranscriptionError(str(error)) from error
        return replace(found, text=without_captions(found.text))

    def _judge(self, clip: Clip, recognition: Recognition, *, last: bool) -> Verdict:
        return judge(
            recognition.text,
            seconds(len(clip.samples)),
            recognition.avg_logprob,
            recognition.no_speech_prob,
            last=last,
        )

    async def _compute(self, window: int, clips: Sequence[Clip]) -> Sequence[Recognition]:
        return await self._pool.run(self._model.recognise, clips, window)


@dataclass(frozen=True, slots=True)
class _Part:
    recognition: Recognition
    duration_s: float


def load_model(settings: WhisperSettings) -> RecognitionModel:
    """Load and warm the model; blocking.

    Raises:
        ModelError: the model cannot be used; one line that says what to do.
    """
    with model_errors(f"speech model {settings.model_path}", "a CTranslate2 Whisper model"):
        whisper = open_whisper(
            settings.model_path,
            settings.languages,
            settings.device,
            settings.compute_type,
            settings.threads,
            settings.workers,
        )
        model = RecognitionModel(whisper, settings.languages, settings.hotwords, settings.beam_size)
        noise = np.random.default_rng(0).normal(0.0, 300.0, SAMPLE_RATE).astype(np.int16)
        for window in (SHORT_WINDOWS[0], FULL_WINDOW):
            model.recognise([Clip(noise, None)], window)
    return model


def _nothing_said(language: str | None, languages: Sequence[str]) -> Transcript:
    if language is not None:
        return Transcript("", language)
    return Transcript("", languages[0], language_probability=0.0)


def _join(parts: Sequence[_Part]) -> Transcript:
    """One transcript of consecutive pieces: the language is that of the first."""
    first = parts[0].recognition
    duration_s = sum(part.duration_s for part in parts)
    weighted = sum(part.recognition.avg_logprob * part.duration_s for part in parts)
    return Transcript(
        text=" ".join(part.recognition.text for part in parts if part.recognition.text),
        language=first.language,
        language_probability=first.language_probability,
        avg_logprob=weighted / duration_s,
    )

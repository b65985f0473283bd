"""Speech synthesis with Piper voices, one per language, shared by all calls."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gateway.audio.pcm import samples_of
from gateway.engines.base import EngineLoad, Need, Speech, Word, at_once
from gateway.engines.bridge import WorkerPool
from gateway.engines.piper_text import CLAUSE_PAUSE_S, Piece, readable_in, split_speakable
from gateway.engines.piper_voice import Voice, VoiceSettings, load_voice
from gateway.engines.piper_words import Written, in_writing, written_words
from gateway.errors import ModelError, SynthesisError

__all__ = ["PiperSettings", "PiperSynthesizer", "VoiceSettings"]


@dataclass(frozen=True, slots=True)
class PiperSettings:
    """Voices and their common level.

    Attributes:
        voices: one voice per language (ISO 639-1 code).
        workers: pieces of speech computed at the same time, each on one thread.
        level_dbfs: active speech level of every voice, RMS relative to full scale.
        cache_chars: of texts up to this length (greetings, apologies) the speech is kept.
        cache_s: total speech kept, seconds (16 kHz int16: 32 kB each).
    """

    voices: Mapping[str, VoiceSettings]
    workers: int = 2
    level_dbfs: float = -20.0
    cache_chars: int = 120
    cache_s: float = 120.0


class PiperSynthesizer:
    """A `Synthesizer` that speaks sentence by sentence, one ahead of the listener."""

    def __init__(
        self, voices: Mapping[str, Voice], pool: WorkerPool, settings: PiperSettings
    ) -> None:
        """Use `load`, which makes the voices and their threads."""
        self._voices = voices
        self._pool = pool
        self._cache_chars = settings.cache_chars
        self._cache = SpeechCache(samples_of(settings.cache_s))

    @classmethod
    async def load(cls, settings: PiperSettings) -> PiperSynthesizer:
        """Load, warm and level every voice in threads.

        Raises:
            ModelError: a voice cannot be used; one line that says what to do.
        """
        if not settings.voices:
            raise ModelError("no voice is configured; give at least one language a Piper voice")
        pool = WorkerPool("tts", settings.workers)
        try:
            voices = {
                language: await pool.run(load_voice, language, voice, settings.level_dbfs)
                for language, voice in settings.voices.items()
            }
        except BaseException:
            await pool.close()
            raise
        return cls(voices, pool, settings)

    @property
    def current_load(self) -> EngineLoad:
        """What waits to be spoken, and for how long."""
        return EngineLoad(self._pool.waiting, self._pool.wait_s)

    async def stream(
        self, text: str, language: str, needed: Need = at_once
    ) -> AsyncGenerator[Speech, None]:
        """Speak a piece of text; see `gateway.engines.base.Synthesizer`. What is written in the
        letters of another language that has a voice is spoken by that one.

        Yields:
            one Speech per sentence or clause; its samples are read-only.

        Raises:
            SynthesisError: the language has no voice, or the voice failed.
        """
        language = readable_in(text, language, self._voices)
        voice = self._voices.get(language)
        if voice is None:
            raise SynthesisError(
                f"no voice for language {language!r}; voices: {', '.join(self._voices)}"
            )
        # Cut here, a tenth of a millisecond, and not in a thread: a job that only finds out that
        # the text is at its end would have to wait like one that speaks.
        pieces = split_speakable(text)
        writings = iter(written_words(text, [piece.text for piece in pieces]))
        speak = voice.speak
        if len(text) <= self._cache_chars:
            speak = partial(self._speak_once, language, voice)
        unsaid: tuple[Written, ...] = ()
        sounded = False
        async with aclosing(self._spoken(language, pieces, speak, needed)) as spoken:
            async for speech in spoken:
                written = next(writings)
                if not len(speech.samples):
                    # The voice knows no letter of it: its words go with the next that are said.
                    unsaid += tuple(replace(word, letters=0) for word in written)
                    continue
                yield _shared(Speech(speech.samples, in_writing(unsaid + written, speech.words)))
                unsaid, sounded = (), True
        if unsaid and sounded:
            silence = np.zeros(samples_of(CLAUSE_PAUSE_S), np.int16)
            yield _shared(Speech(silence, tuple(Word(word.text, len(silence)) for word in unsaid)))

    async def close(self) -> None:
        """Finish the pieces in work, then end the threads."""
        await self._pool.close()

    async def _spoken(
        self,
        language: str,
        pieces: Sequence[Piece],
        speak: Callable[[Piece], Speech],
        needed: Need,
    ) -> AsyncGenerator[Speech, None]:
        """The speech of each piece: at once as long as it is known, the rest by the threads."""
        known = 0
        for piece in pieces:
            if (speech := self._cache.get((piece, language))) is None:
                break
            known += 1
            yield speech
        jobs = (partial(speak, piece) for piece in pieces[known:])
        async with aclosing(self._pool.run_each(jobs, needed)) as spoken:
            async for speech in spoken:
                yield speech

    def _speak_once(self, language: str, voice: Voice, piece: Piece) -> Speech:
        """Speak in a thread, unless it was spoken meanwhile: calls that begin together all wait
        for the same greeting.
        """
        speech = self._cache.get((piece, language))
        if speech is None:
            speech = voice.speak(piece)
            # Silence may be a moment's fault: without a file left, espeak-ng finds no sounds.
            if len(speech.samples):
                self._cache.put((piece, language), speech)
        return speech


class SpeechCache:
    """Speech of recent pieces, bounded by its total length; the least recently used goes first.

    For any thread.
    """

    def __init__(self, max_samples: int) -> None:
        self._max_samples = max_samples
        self._lock = threading.Lock()
        self._speech: OrderedDict[tuple[Piece, str], Speech] = OrderedDict()
        self._samples = 0

    def __len__(self) -> int:
        return len(self._speech)

    def get(self, key: tuple[Piece, str]) -> Speech | None:
        """Speech of (piece, language), or None."""
        with self._lock:
            speech = self._speech.get(key)
            if speech is not None:
                self._speech.move_to_end(key)
            return speech

    def put(self, key: tuple[Piece, str], speech: Speech) -> None:
        """Keep speech, dropping older entries until the bound holds."""
        with self._lock:
            if (old := self._speech.pop(key, None)) is not None:
                self._samples -= len(old.samples)
            self._speech[key] = speech
            self._samples += len(speech.samples)
            while self._samples > self._max_samples:
                _, oldest = self._speech.popitem(last=False)
                self._samples -= len(oldest.samples)


def _shared(speech: Speech) -> Speech:
    speech.samples.setflags(write=False)  # the cache hands one array to many calls
    return speech

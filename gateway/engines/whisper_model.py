"""A Whisper model in memory: blocking recognition of one batch of equal windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from gateway.audio.pcm import Samples, seconds
from gateway.errors import TranscriptionError

MAX_TOKENS = 224
"""Most tokens of one transcript: half of Whisper's text context, as in its original decoder."""

TOKENS_PER_SECOND = 16
"""Bound on decoding: about twice the tokens of fast speech in a script with short tokens."""

TOKENS_FREE = 24

CONTEXT_TOKENS = 448
"""Text context of every Whisper model: prompt and transcript together."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio of at most 30 s and its language, or None to detect it."""

    samples: Samples
    language: str | None


@dataclass(frozen=True, slots=True)
class Recognition:
    """Raw result for one clip; fields as in `gateway.engines.base.Transcript`.

    Attributes:
        no_speech_prob: probability that the window holds no speech, 0..1.
    """

    text: str
    language: str
    language_probability: float
    avg_logprob: float
    no_speech_prob: float


class RecognitionModel:
    """Encodes once per batch; detects languages and decodes from the same encoder output."""

    def __init__(
        self,
        whisper: WhisperModel,
        languages: Sequence[str],
        hotwords: Mapping[str, str] | None = None,
        beam_size: int = 1,
    ) -> None:
        """Prepare tokenizers and prompts.

        Args:
            whisper: the loaded model.
            languages: ISO 639-1 codes the detection chooses among.
            hotwords: per language, what the decoder takes for words said before (names, spelling);
                Whisper's own place for them, cut at the start to what fits.
            beam_size: 1 is greedy.

        Raises:
            ValueError: a language Whisper does not have.
        """
        self._whisper = whisper
        self._languages = tuple(languages)
        self._beam_size = beam_size
        self._tokenizers = {language: self._tokenizer(language) for language in languages}
        self._prompts = self._make_prompts(hotwords or {})

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that can be recognised."""
        return self._languages

    def recognise(self, clips: Sequence[Clip], window: int) -> list[Recognition]:
        """Recognise clips in one batch.

        Args:
            clips: not empty; each fits into the window, language one of the configured or None.
            window: mel frames (10 ms) to encode.

        Raises:
            TranscriptionError: the model failed.
        """
        try:
            return self._recognise(clips, window)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise TranscriptionError(f"speech recognition failed: {error}") from error

    def _recognise(self, clips: Sequence[Clip], window: int) -> list[Recognition]:
        model = self._whisper.model
        encoded = model.encode(ctranslate2.StorageView.from_array(self._features(clips, window)))
        languages = self._spoken_languages(clips, encoded)
        longest_s = max(seconds(len(clip.samples)) for clip in clips)
        prompts = [self._prompts[language] for language, _ in languages]
        new_tokens = min(MAX_TOKENS, round(TOKENS_FREE + TOKENS_PER_SECOND * longest_s))
        # Of max_length, CTranslate2 gives no more than half to the transcript, and no more than
        # the prompt leaves.
        max_length = max(2 * new_tokens, len(prompts[0]) + new_tokens)
        # Which tokens to suppress is the model's own matter: CTranslate2 reads suppress_ids and
        # suppress_ids_begin from config.json for the values given here (a converted OpenAI model
        # lists the non-speech symbols there, a model trained without them lists nothing).
        results = model.generate(
            encoded,
            prompts,
            beam_size=self._beam_size,
            max_length=min(CONTEXT_TOKENS, max_length),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )
        return [
            self._recognition(result, language, probability)
            for result, (language, probability) in zip(results, languages, strict=True)
        ]

    def _features(self, clips: Sequence[Clip], window: int) -> np.ndarray:
        """Log-mel features, float32 (clips, mels, window), padded by zeros like faster-whisper."""
        features = np.zeros((len(clips), self._whisper.model.n_mels, window), np.float32)
        for row, clip in zip(features, clips, strict=True):
            audio = clip.samples.astype(np.float32) / 32768.0
            mels = self._whisper.feature_extractor(audio)[:, :window]
            row[:, : mels.shape[1]] = mels
        return features

    def _spoken_languages(
        self, clips: Sequence[Clip], encoded: ctranslate2.StorageView
    ) -> list[tuple[str, float]]:
        """Language of each clip and its probability among the configured ones."""
        pinned = [(clip.language, 1.0) for clip in clips if clip.language is not None]
        if len(pinned) == len(clips):
            return pinned
        if len(self._languages) == 1:
            return [(clip.language or self._languages[0], 1.0) for clip in clips]
        detected = self._whisper.model.detect_language(encoded)
        return [
            (clip.language, 1.0) if clip.language is not None else self._most_likely(ranking)
            for clip, ranking in zip(clips, detected, strict=True)
        ]

    def _most_likely(self, ranking: Sequence[tuple[str, float]]) -> tuple[str, float]:
        """Best configured language of a ranking of tokens like ``<|en|>``, renormalised."""
        among = {token[2:-2]: p for token, p in ranking if token[2:-2] in self._languages}
        total = sum(among.values())
        if total <= 0.0:
            return self._languages[0], 1.0 / len(self._languages)
        best = max(among, key=among.__getitem__)
        return best, among[best] / total

    def _recognition(
        self, result: ctranslate2.models.WhisperGenerationResult, language: str, probability: float
    ) -> Recognition:
        tokens = result.sequences_ids[0]
        # The score is divided by the number of tokens; the end token, which it includes, is not
        # among them. Without any token it is not finite, and there is nothing to be unsure of.
        score = result.scores[0]
        avg_logprob = score * len(tokens) / (len(tokens) + 1) if isfinite(score) else 0.0
        return Recognition(
            text=self._tokenizers[language].decode(tokens).strip(),
            language=language,
            language_probability=probability,
            avg_logprob=min(0.0, avg_logprob),
            no_speech_prob=result.no_speech_prob,
        )

    def _tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task="transcribe",
            language=language,
        )

    def _make_prompts(self, hotwords: Mapping[str, str]) -> dict[str, list[int]]:
        """Prompts of one length: in a batch the transcripts must all begin at one position.

        So shorter hotwords are said again until they are as long as the longest.
        """
        before: dict[str, list[int]] = dict.fromkeys(self._tokenizers, [])
        if any(hotwords.values()):
            lines = {
                language: tokenizer.encode(" " + hotwords.get(language, "").strip())
                for language, tokenizer in self._tokenizers.items()
            }
            length = min(MAX_TOKENS - 1, max(map(len, lines.values())))
            before = {
                language: [tokenizer.sot_prev, *_repeated(lines[language], length)]
                for language, tokenizer in self._tokenizers.items()
            }
        return {
            language: [*before[language], *tokenizer.sot_sequence, tokenizer.no_timestamps]
            for language, tokenizer in self._tokenizers.items()
        }


def _repeated(line: list[int], length: int) -> list[int]:
    """The last tokens of a line that is said again and again."""
    times = -(-length // len(line))
    return (line * times)[-length:]

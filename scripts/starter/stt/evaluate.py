"""Measure an exported recogniser through faster-whisper, on held-out sentences and voices."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

from .augment import Noise, no_speech
from .dataset import Row, SpeechSet
from .features import RATE, Wave, telephone

# A caller's number in any of the three languages, as figures.
_DIGITS = {
    word: str(value)
    for words in (
        "zero one two three four five six seven eight nine",
        "ноль один два три четыре пять шесть семь восемь девять",
        "صفر واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة",
    )
    for value, word in enumerate(words.split())
} | {"oh": "0"}


_NO_SPEECH, _LOGPROB = 0.6, -1.0  # thresholds of Whisper's rule for silence
_BEAM_SIZE = 4  # what the gateway uses for the starter model


def normalise(text: str) -> list[str]:
    """Words without case and punctuation."""
    plain = re.sub(r"[^\w ']", " ", text.lower()).replace("ё", "е")
    return plain.split()


def edits(reference: list[str], heard: list[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    return row[-1]


def digits_of(words: list[str]) -> str:
    """The number that the words spell, without the words around it."""
    return "".join(_DIGITS.get(word, "") for word in words)


@dataclass(frozen=True)
class Heard:
    """What came out for one utterance. ``no_speech`` is the model's probability of silence,
    ``logprob`` the mean log-probability of the tokens.
    """

    text: str
    lang: str
    no_speech: float
    logprob: float

    @property
    def is_nothing(self) -> bool:
        """Whisper's own rule, which faster-whisper and the gateway follow. With several hypotheses
        CTranslate2 never gives the empty one; what it gives instead is very improbable.
        """
        silent = self.no_speech > _NO_SPEECH and self.logprob < _LOGPROB
        return silent or not normalise(self.text)


class ShortWindow:
    """Decodes speech and 0.6 s of padding instead of 30 s, as the gateway does."""

    def __init__(self, model: Path) -> None:
        self.whisper = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)

    def _encode(self, wave: Wave, full: bool = False) -> Any:
        mel = self.whisper.feature_extractor(wave)
        frames = 3000 if full else (mel.shape[1] + 61) // 2 * 2
        padded = np.zeros((1, 80, frames), np.float32)
        padded[0, :, : mel.shape[1]] = mel
        return self.whisper.model.encode(ctranslate2.StorageView.from_array(padded))

    def detect(self, encoded: Any) -> str:
        """The language among those that the model knows."""
        return str(self.whisper.model.detect_language(encoded)[0][0][0][2:-2])

    def hear(self, wave: Wave, lang: str | None = None, full: bool = False) -> Heard:
        """Transcript of samples at 16 kHz; without ``lang`` the language is detected. ``full`` pads
        to Whisper's own 30 s.
        """
        return self.decode(self._encode(wave, full), lang)

    def decode(self, encoded: Any, lang: str | None = None) -> Heard:
        """As ``hear``, from the encoder's output."""
        lang = lang or self.detect(encoded)
        tokenizer = Tokenizer(self.whisper.hf_tokenizer, True, "transcribe", lang)
        result = self.whisper.model.generate(
            encoded,
            [[*tokenizer.sot_sequence, tokenizer.no_timestamps]],
            beam_size=_BEAM_SIZE,
            max_length=120,
            return_no_speech_prob=True,
            return_scores=True,
            suppress_blank=False,
            suppress_tokens=[],
        )[0]
        text = tokenizer.decode(result.sequences_ids[0]).strip()
        return Heard(text, lang, result.no_speech_prob, result.scores[0])

    def both(self, wave: Wave, lang: str) -> tuple[Heard, Heard]:
        """With the language given, and with it detected; the audio is encoded once."""
        encoded = self._encode(wave)
        forced, detected = self.decode(encoded, lang), self.detect(encoded)
        return forced, forced if detected == lang else self.decode(encoded, detected)


def condition(samples: np.ndarray, kind: str, noise: Noise, seed: int) -> Wave:
    """int16 samples as heard "clean", or over the "telephone" with noise at 10-20 dB."""
    wave: Wave = np.pad(samples / np.float32(32768), (RATE // 5, RATE * 3 // 10))
    wave = wave.astype(np.float32)
    if kind == "clean":
        return wave
    rng = np.random.default_rng(seed)
    wave = wave / np.abs(wave).max() * 0.5
    power = np.sqrt((wave**2).mean())
    loud = noise.take(rng, len(wave)) * power * 10 ** (-rng.uniform(10, 20) / 20)
    wave = telephone(wave + loud, rng)
    return np.asarray(wave / max(1.0, float(np.abs(wave).max())), np.float32)


def _group(row: Row) -> str:
    if row.engine == "piper":
        return f"{row.lang} own voice {row.voice}"
    if row.engine == "flite":
        unseen = row.voice == "awb"
        return "en flite awb (unseen voice)" if unseen else "en flite slt/rms (seen voices)"
    return f"{row.lang} espeak (unseen voices)"


def _kind(row: Row) -> str:
    return f"{row.lang}, {'words without grammar' if row.free else 'sentences'}"


@dataclass(frozen=True)
class _Outcome:
    """Of one utterance: its words, how many were wrong with the language given and detected."""

    row: Row
    condition: str
    words: int
    wrong: int
    wrong_detected: int
    lang: bool
    exact: bool
    number: bool


def word_errors(
    ear: ShortWindow, test: SpeechSet, limit: int = 1000, phones: bool = False
) -> list[dict[str, Any]]:
    """Tables by group of voices and by kind of sentence, each by condition. Rates are shares: word
    errors with the language given and detected, language found, sentence exactly right; with
    ``phones`` also the whole number right, and one kind of sentence.
    """
    noise = Noise(np.random.default_rng(7))
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in test.rows:
        groups[_group(row)].append(row)
    outcomes = []
    for rows in groups.values():
        for row in rows[:: max(1, len(rows) // limit)][:limit]:
            for kind in ("clean", "telephone"):
                wave = condition(test.samples(row), kind, noise, row.offset % 100000)
                outcomes.append(_outcome(row, kind, *ear.both(wave, row.lang)))
    keys = [_group] if phones else [_group, _kind]
    return [line for key in keys for line in _table(outcomes, key, phones)]


def _outcome(row: Row, kind: str, forced: Heard, auto: Heard) -> _Outcome:
    reference, heard = normalise(row.text), normalise(forced.text)
    return _Outcome(
        row,
        kind,
        words=len(reference),
        wrong=edits(reference, heard),
        wrong_detected=edits(reference, normalise(auto.text)),
        lang=auto.lang == row.lang,
        exact=heard == reference,
        number=digits_of(heard) == digits_of(reference),
    )


def _table(
    outcomes: list[_Outcome], key: Callable[[Row], str], phones: bool
) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[_Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[key(outcome.row), outcome.condition].append(outcome)
    table = []
    for (name, kind), group in sorted(found.items()):
        words = sum(outcome.words for outcome in group)
        entry: dict[str, Any] = {"set": name, "condition": kind, "utterances": len(group)}
        entry["wer"] = round(sum(outcome.wrong for outcome in group) / words, 4)
        detected = sum(outcome.wrong_detected for outcome in group)
        entry["wer, language detected"] = round(detected / words, 4)
        for what in ("lang", "exact", *(["number"] if phones else [])):
            entry[what] = round(sum(getattr(outcome, what) for outcome in group) / len(group), 4)
        table.append(entry)
    return table


def windows(ear: ShortWindow, test: SpeechSet, every: int = 3) -> dict[str, Any]:
    """Word error rates of the same items in the short window and in Whisper's 30 s."""
    noise, words = Noise(np.random.default_rng(7)), 0
    wrong = {"short": 0, "30 s": 0}
    rows = test.rows[::every]
    for row in rows:
        wave, reference = condition(test.samples(row), "clean", noise, 0), normalise(row.text)
        words += len(reference)
        for name in wrong:
            heard = ear.hear(wave, row.lang, full=name == "30 s").text
            wrong[name] += edits(reference, normalise(heard))
    rates = {f"wer, {name}": round(count / words, 4) for name, count in wrong.items()}
    return {"set": "windows", "utterances": len(rows)} | rates


def silence(ear: ShortWindow, count: int = 40) -> list[dict[str, Any]]:
    """Share of items without speech that give words, and their mean no-speech probability."""
    noise = Noise(np.random.default_rng(7))
    rng = np.random.default_rng(3)
    kinds: dict[str, list[Wave]] = {
        "digital silence": [np.zeros(24000, np.float32) for _ in range(count)],
        "white noise, -40 dB": [
            (rng.standard_normal(24000) * 0.01).astype(np.float32) for _ in range(count)
        ],
        "mixed noise, tones, clicks": [no_speech(rng, noise) for _ in range(count)],
    }
    table = []
    for name, waves in kinds.items():
        heard = [ear.hear(wave, "en") for wave in waves]
        with_text = float(np.mean([not item.is_nothing for item in heard]))
        probability = float(np.mean([item.no_speech for item in heard]))
        table.append({"set": name, "with text": with_text, "no-speech": round(probability, 3)})
    return table

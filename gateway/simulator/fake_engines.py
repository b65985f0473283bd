"""Engines without models, for calls in virtual time: they know what was said, and take time."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples, seconds
from gateway.engines.base import (
    ChatRequest,
    Need,
    Speech,
    TranscribeRequest,
    Transcript,
    Word,
    at_once,
)
from gateway.simulator.scenario_caller import ScenarioCaller

_REPLIES = {
    "en": "We are open from Monday to Friday, from nine in the morning to six in the evening.",
    "ar": "نحن مفتوحون من الاثنين إلى الجمعة، من التاسعة صباحا حتى السادسة مساء.",
    "ru": "Мы работаем с понедельника по пятницу, с девяти утра до шести вечера.",
}


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """How long the engines take, in seconds; a reply's words come ``word`` apart."""

    stt: float = 0.08
    chat: float = 0.04
    word: float = 0.01
    tts: float = 0.05
    char: float = 0.065
    """Length of speech per character."""


@dataclass(slots=True)
class KnowingTranscriber:
    """Recognises what the caller of the scenario really said in the audio it is given.

    Args:
        mishears: share of words that it gets wrong, 0 to 1. A recogniser that mishears also ends
            every text with a full stop, as small ones do.
    """

    caller: ScenarioCaller
    clock: Callable[[], float]
    times: EngineTimes
    mishears: float = 0.0

    async def transcribe(self, request: TranscribeRequest) -> Transcript:
        """What was said between the beginning and the end of the audio, which ends now."""
        end = self.clock()
        start = end - seconds(len(request.samples)) * self.caller.pace
        text, language = self._words(start, end)
        await asyncio.sleep(self.times.stt)
        if not self.mishears:
            return Transcript(text, language)
        heard = [mishear(word, self.mishears) for word in text.split()]
        wrong = sum(a != b for a, b in zip(heard, text.split(), strict=True))
        logprob = -0.1 - 0.6 * wrong / max(1, len(heard))
        text = " ".join(heard).rstrip(".,?!،؟") + "." if heard else ""
        return Transcript(text, language, avg_logprob=logprob)

    def _words(self, start: float, end: float) -> tuple[str, str]:
        heard: list[str] = []
        language: str = self.caller.scenario.call.language
        for spoken in self.caller.spoken:
            words = spoken.text.split()
            pace = (spoken.end_s - spoken.start_s) / len(words)
            # A word counts if its middle is in the audio.
            middles = [spoken.start_s + (index + 0.5) * pace for index in range(len(words))]
            inside = [w for w, at in zip(words, middles, strict=True) if start <= at <= end]
            if inside:
                heard += inside
                language = spoken.language
        return " ".join(heard), language

    async def close(self) -> None:
        """Nothing to free."""


@dataclass(slots=True)
class FixedChat:
    """Answers with the fixed reply of the language of the caller's last sentence."""

    times: EngineTimes

    async def stream(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        """The reply, word by word."""
        said = [message.content for message in request.messages if message.role == "user"]
        sentence = next((text for text in reversed(said) if len(text.split()) > 1), "".join(said))
        reply = _REPLIES[script_of(sentence)]
        await asyncio.sleep(self.times.chat)
        for word in reply.split():
            await asyncio.sleep(self.times.word)
            yield word + " "

    def promote(self, call_id: str) -> None:
        """Every reply is served at once."""

    def forget(self, call_id: str) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing to free."""


@dataclass(slots=True)
class HummingVoice:
    """Speaks every character for the same time, as a hum that no voice detector overlooks."""

    times: EngineTimes

    async def stream(
        self, text: str, language: str, needed: Need = at_once
    ) -> AsyncGenerator[Speech, None]:
        """One piece of speech-like sound, as long as the text."""
        await asyncio.sleep(self.times.tts)
        samples = hum(len(text) * self.times.char)
        ends = (match.end() * len(samples) // len(text) for match in re.finditer(r"\S+", text))
        yield Speech(samples, tuple(map(Word, text.split(), ends)))

    async def close(self) -> None:
        """Nothing to free."""


def mishear(word: str, share: float) -> str:
    """The word, or something that is no word; always the same for the same word."""
    letters = word.strip(".,?!،؟")
    if zlib.crc32(letters.encode()) % 1000 >= share * 1000:
        return word
    return word.replace(letters, letters[::-1] + letters[:1])


def hum(duration_s: float) -> Samples:
    """A vowel: a pulse train with two formants, int16 at 16 kHz, swelling in syllables."""
    time = np.arange(int(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros(time.size)
    for harmonic in range(1, 20):
        frequency = 130.0 * harmonic
        gain = np.exp(-(((frequency - 600) / 300) ** 2)) + np.exp(
            -(((frequency - 1300) / 300) ** 2)
        )
        wave += gain * np.sin(2 * np.pi * frequency * time)
    wave *= 2500 * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    samples: Samples = wave.astype(np.int16)
    return samples


def script_of(text: str) -> str:
    """The language whose letters a text is mostly written in: "en", "ar" or "ru"."""
    arabic = sum("\u0600" <= character <= "\u06ff" for character in text)
    russian = sum("\u0400" <= character <= "\u04ff" for character in text)
    latin = sum(character.isascii() and character.isalpha() for character in text)
    most = max(arabic, russian, latin)
    return "ar" if most and arabic == most else "ru" if most and russian == most else "en"

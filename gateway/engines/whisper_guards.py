"""Is a recognised text something a person can have said? Pure checks against hallucinations.

Thresholds marked (Whisper) are those of the original decoder, "Robust Speech Recognition via
Large-Scale Weak Supervision" (2022), section 4.5.
"""

from __future__ import annotations

import re
import zlib
from enum import Enum

import numpy as np

from gateway.audio.pcm import Samples

MAX_COMPRESSION_RATIO = 2.4
"""UTF-8 bytes per zlib byte above which a text repeats itself and deserves another attempt
(Whisper)."""

MIN_AVG_LOGPROB = -1.0
"""Mean log-probability per token under which a text is a guess (Whisper)."""

MAX_NO_SPEECH_PROB = 0.6
"""No-speech probability above which an unsure text is taken for silence (Whisper)."""

MAX_CHARS_PER_SECOND = 30.0
"""Twice the pace of fast speech (about 15 characters per second in en, ru and ar)."""

CHARS_FREE = 20
"""Characters any clip may have: a short word fits into very little audio."""

MAX_REPEATS = 4
"""Times a group of words may follow itself; single words, as in phone numbers, twice as often."""

_MAX_NGRAM = 8

_LONGEST_WORD = 40
"""Characters without a space; more are a loop of syllables."""

SILENCE_PEAK = 32
"""Highest sample, of 32,767, of a clip that is certainly silent (-60 dBFS)."""


_CREDITS = re.compile(
    r"\b(?:субтитры (?:с?делал|создал|создавал|добавил|подогнал|подготовил)|редактор субтитров"
    r"|корректор [а-я]\. ?[а-я]|dimatorzok|subtitles by|(?:transcription|transcribed) by|amara\.org"
    r"|ترجمة نانسي).*"
    r"|(?:^|(?<=[.!?…؟] ))(?:продолжение следует|спасибо за (?:просмотр|внимание)"
    r"|(?:не забудьте подписаться|подписывайтесь) на (?:мой |наш )?канал|ставьте лайки.*"
    r"|(?:thanks|thank you)(?: so much| very much)? for watching(?: this video)?"
    r"|(?:please )?(?:like and )?subscribe(?: to my channel)?"
    r"|(?:i'll )?see you in the next video"
    r"|شكر[ًا]{1,2} (?:لكم )?(?:للمشاهدة|على المشاهدة)|اشترك(?:وا)? في القناة)\W*$",
    re.IGNORECASE,
)
"""How videos end. Whisper learned from their subtitles and hears these in noise and after speech,
without a doubt. Nobody says the first ones; the others count as whole sentences."""

_NOTES = re.compile(
    r"\[[^\]]*\]|\*[^*]*\*|[♪♫]+|^\([^()\d]*\)\W*$"
    r"|\b(?:[А-ЯЁ]{3,} )*(?:МУЗЫКА|АПЛОДИСМЕНТЫ|СМЕХ|КАШЕЛЬ|ШУМ|ЗВОНОК)(?: [А-ЯЁ]{3,})*\b[.!]?"
)
"""How subtitles tell sounds: "[Music]", "(speaking Arabic)", "♪", "ТРЕВОЖНАЯ МУЗЫКА"."""


class Verdict(Enum):
    """What to do with a result."""

    GOOD = "good"
    SILENCE = "silence"
    DEGENERATE = "degenerate"


def judge(
    text: str,
    duration_s: float,
    avg_logprob: float,
    no_speech_prob: float,
    *,
    last: bool = False,
) -> Verdict:
    """Tell speech from silence and from what a decoder makes up.

    Args:
        text: recognised text, stripped.
        duration_s: length of the audio, seconds.
        avg_logprob: mean log-probability per token, natural log.
        no_speech_prob: probability that the window holds no speech, 0..1.
        last: there is no other attempt. Then a text is not thrown away for compressing well:
            callers say numbers twice, or "no" seven times, and text of two-byte letters compresses
            better. Whisper keeps what its last attempt gives, too.
    """
    unsure = avg_logprob < MIN_AVG_LOGPROB
    if not text or (unsure and no_speech_prob > MAX_NO_SPEECH_PROB):
        return Verdict.SILENCE
    if (
        unsure
        or (not last and compression_ratio(text) > MAX_COMPRESSION_RATIO)
        or is_impossibly_long(text, duration_s)
        or has_loop(text)
    ):
        return Verdict.DEGENERATE
    return Verdict.GOOD


def without_captions(text: str) -> str:
    """A recognised text without the notes on sounds, and the credits at its end, of subtitles."""
    return _CREDITS.sub("", _NOTES.sub("", text).strip()).rstrip()


def is_silent(samples: Samples) -> bool:
    """True when nothing in the clip is loud enough to be speech."""
    return len(samples) == 0 or bool(np.abs(samples.astype(np.int32)).max() <= SILENCE_PEAK)


def compression_ratio(text: str) -> float:
    """UTF-8 bytes per zlib-compressed byte; grows with repetition."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def is_impossibly_long(text: str, duration_s: float) -> bool:
    """True when nobody can say so many characters in the time."""
    return len(text) > CHARS_FREE + MAX_CHARS_PER_SECOND * duration_s


def has_loop(text: str) -> bool:
    """True when one to eight words follow themselves too many times, or a word is endless."""
    words = text.lower().split()
    if any(len(word) > _LONGEST_WORD for word in words):
        return True
    for size in range(1, _MAX_NGRAM + 1):
        allowed = 2 * MAX_REPEATS if size == 1 else MAX_REPEATS
        equal = 0  # words equal to the one `size` before, in a row
        for word, earlier in zip(words[size:], words, strict=False):
            equal = equal + 1 if word == earlier else 0
            if equal >= size * allowed:
                return True
    return False

"""One Piper voice in memory: loading, checks, level, and speaking one piece of text."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import (
    onnxruntime_pybind11_state as onnx_errors,
)
from piper import AudioChunk, PiperVoice, SynthesisConfig
from piper.config import PhonemeType, PiperConfig
from piper.tashkeel import TASHKEEL_DIR, TashkeelDiacritizer, TashkeelError

from gateway.audio.pcm import SAMPLE_RATE, Samples
from gateway.audio.resample import resample
from gateway.engines.base import Speech
from gateway.engines.model_errors import model_errors
from gateway.engines.piper_durations import declare_durations
from gateway.engines.piper_matching import Spoken
from gateway.engines.piper_reading import read_out
from gateway.engines.piper_shape import (
    active_rms,
    gain_to,
    shape_piece,
    sounding_part,
    to_int16,
)
from gateway.engines.piper_text import CLAUSE_PAUSE_S, SENTENCE_PAUSE_S, Piece
from gateway.engines.piper_words import (
    spoken_words,
    words_by_letters,
    words_by_phonemes,
    words_read_out,
)
from gateway.errors import ModelError, SynthesisError

logger = logging.getLogger(__name__)

ONNX_ERRORS = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
)
"""onnxruntime's exceptions share no base class of their own."""

_SAMPLE_TEXTS = {
    "en": "Good morning, how may I help you today? One moment, please.",
    "ar": "صباح الخير، كيف يمكنني مساعدتك اليوم؟ لحظة من فضلك.",
    "ru": "Доброе утро, чем я могу вам помочь? Одну минуту, пожалуйста.",
}
_DIGITS = "1 2 3 4 5 6 7 8 9 10."
"""Sample text for any other language: every espeak voice can count."""

_ESPEAK_NAMES = {"zh": ("cmn", "yue"), "no": ("nb", "nn")}
"""Languages whose espeak voice is not called by their ISO 639-1 code."""


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Which voice speaks a language, and how.

    Attributes:
        path: the .onnx file; its configuration stands beside it as .onnx.json.
        speaker_id: speaker of a voice with several, or None for its default.
        length_scale: pace; 1.2 is slower by a fifth. None for the voice's own.
    """

    path: Path
    speaker_id: int | None = None
    length_scale: float | None = None


class Voice:
    """A loaded voice. Several threads may speak with it at the same time."""

    def __init__(self, language: str, piper: PiperVoice, settings: VoiceSettings) -> None:
        """Use `load_voice`, which also warms the voice and measures its level."""
        self._language = language
        self._piper = piper
        self._config = SynthesisConfig(
            speaker_id=settings.speaker_id,
            length_scale=settings.length_scale,
            normalize_audio=False,
        )
        self._gain = 1.0

    def level(self, level_dbfs: float) -> None:
        """Speak a sample text once, which warms the voice, and fix the gain for good.

        One gain per voice, not per piece: the same voice stays equally loud within a call.

        Raises:
            SynthesisError: the voice failed, or cannot be heard.
        """
        text = _SAMPLE_TEXTS.get(self._language, _DIGITS)
        rms = active_rms(self.speak(Piece(text, SENTENCE_PAUSE_S)).samples)
        if rms == 0.0:
            raise SynthesisError("it cannot be heard when it says a sample text")
        self._gain = gain_to(level_dbfs, rms)

    def speak(self, piece: Piece) -> Speech:
        """Speak one piece at the voice's level, beginning and ending in silence.

        Returns:
            The words are those of the piece's text. Without samples when the voice has no sound
            for it; then the ends of the words mean nothing.

        Raises:
            SynthesisError: the voice failed.
        """
        text = read_out(piece.text, self._language)
        try:
            chunks = list(self._piper.synthesize(text, self._config, include_alignments=True))
        except (*ONNX_ERRORS, TashkeelError, RuntimeError, ValueError, KeyError) as error:
            raise SynthesisError(f"the voice for {self._language!r} failed: {error}") from error
        # espeak-ng sees sentence ends within a piece too, mostly at abbreviations.
        pauses = [CLAUSE_PAUSE_S] * (len(chunks) - 1) + [piece.pause_s]
        speech: list[Samples] = [np.zeros(0, np.int16)]
        spoken: list[Spoken] = []
        offset, timed = 0, True
        for chunk, pause_s in zip(chunks, pauses, strict=False):
            audio = self._at_gateway_rate(chunk)
            words = self._timed_words(chunk)
            start, end = sounding_part(audio)
            for word in words or ():
                first, last = (
                    offset + min(max(at * SAMPLE_RATE // chunk.sample_rate, start), end) - start
                    for at in (word.start, word.end)
                )
                spoken.append(replace(word, start=first, end=last))
            timed = timed and words is not None
            speech.append(shape_piece(audio, pause_s))
            offset += len(speech[-1])
        samples = np.concatenate(speech)
        if timed and spoken:
            read = words_by_phonemes(text, spoken)
        else:
            read = words_by_letters(text, samples)
        if text == piece.text:
            return Speech(samples, read)
        return Speech(samples, words_read_out(piece.text, read))

    def _timed_words(self, chunk: AudioChunk) -> list[Spoken] | None:
        """Spoken words at the voice's rate; None when its model does not tell their lengths."""
        lengths = chunk.phoneme_id_samples
        if lengths is None or lengths.shape != (len(chunk.phoneme_ids),):
            return None
        # A wrong hop length in the configuration would put every word at a wrong place.
        stray = abs(int(lengths.sum()) - chunk.audio_float_array.size)
        if stray > max(0.05 * chunk.audio_float_array.size, 0.05 * chunk.sample_rate):
            return None
        return spoken_words(chunk.phoneme_ids, lengths, self._piper.config.phoneme_id_map)

    def _at_gateway_rate(self, chunk: AudioChunk) -> Samples:
        audio = to_int16(chunk.audio_float_array.reshape(-1), self._gain)
        return resample(audio, chunk.sample_rate, SAMPLE_RATE)


def load_voice(language: str, settings: VoiceSettings, level_dbfs: float) -> Voice:
    """Load a voice, check that it speaks the language, warm and level it.

    Raises:
        ModelError: the files cannot serve; one line that says what to do.
    """
    path = settings.path
    with model_errors(f"voice {path}", "a Piper voice"):
        config = _read_config(path)
        _check_language(language, path, config)
        _check_speaker(path, config, settings.speaker_id)
        model = declare_durations(path.read_bytes())
        piper = PiperVoice(session=_session(model or str(path)), config=config)
        if config.espeak_voice == "ar":
            piper.tashkeel_diacritizier = _diacritizer()
        voice = Voice(language, piper, settings)
        voice.level(level_dbfs)
    logger.info("voice %s speaks %r", path, language)
    return voice


def _session(model: str | bytes) -> onnxruntime.InferenceSession:
    """A session of one thread: parallelism comes from many calls, not within one.

    Args:
        model: path of the model, or its content.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )


def _diacritizer() -> TashkeelDiacritizer:
    """Piper adds vowel marks to Arabic text with this model; built now, not on the first call."""
    diacritizer = TashkeelDiacritizer()
    diacritizer.session = _session(str(TASHKEEL_DIR / "model.onnx"))
    return diacritizer


def _read_config(path: Path) -> PiperConfig:
    config_path = path.with_name(path.name + ".json")
    for file in (path, config_path):
        if not file.is_file():
            raise ModelError(
                f"voice file {file} does not exist; a voice is an .onnx file with its .onnx.json "
                "beside it: download both or correct the path"
            )
    try:
        content: dict[str, Any] = json.loads(config_path.read_bytes())
        # As Python spells the value itself, in some published voices (es_MX-ald-medium).
        if content.get("phoneme_type") == "PhonemeType.ESPEAK":
            content["phoneme_type"] = PhonemeType.ESPEAK
        config = PiperConfig.from_dict(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{config_path} is not a Piper voice configuration ({error!r}); download it again"
        ) from error
    rate = config.sample_rate
    # Resampling from a rate out of this world takes all the memory.
    if not isinstance(rate, int) or not 8_000 <= rate <= 48_000:
        raise ModelError(
            f"{config_path} gives the sample rate {rate!r}, expected 8000 to 48000; "
            "download it again"
        )
    beyond = {i for ids in config.phoneme_id_map.values() for i in ids if i >= config.num_symbols}
    if beyond:
        raise ModelError(
            f"{config_path} numbers a phoneme {max(beyond)} and says that there are "
            f"{config.num_symbols} (num_symbols); download it again"
        )
    return config


def _check_language(language: str, path: Path, config: PiperConfig) -> None:
    if config.phoneme_type is not PhonemeType.ESPEAK:
        return
    spoken = config.espeak_voice.rsplit("/", 1)[-1].split("-")[0]
    if spoken not in (language, *_ESPEAK_NAMES.get(language, ())):
        raise ModelError(
            f"voice {path} speaks {spoken!r} (espeak voice {config.espeak_voice!r}) but is "
            f"configured for {language!r}; choose a voice of that language"
        )


def _check_speaker(path: Path, config: PiperConfig, speaker_id: int | None) -> None:
    if speaker_id is not None and not 0 <= speaker_id < config.num_speakers:
        raise ModelError(
            f"voice {path} has speakers 0 to {config.num_speakers - 1}, got speaker {speaker_id}; "
            "choose one of them"
        )

"""A scenario's turn as audio: words spoken, files read, sounds made, and where the speech lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.audio.pcm import Samples, samples_of, seconds
from gateway.simulator.caller_voice import LEVEL_DBFS, CallerVoices
from gateway.simulator.recording import (
    RecordingError,
    find_speech,
    load_recording,
    require_speech_end,
    to_gateway_audio,
)
from gateway.simulator.scenario import Call, Part, Turn
from gateway.simulator.scenario_file import Scenario
from gateway.simulator.sounds import make_sound

_SOUND_DBFS = -20.0
"""Level of made-up sounds, which have an RMS of 0.1."""


@dataclass(frozen=True, slots=True)
class Span:
    """Words, and the samples from ``start`` to ``end`` in which they sound; "" for other sounds."""

    text: str
    language: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """What the caller does in one turn.

    Attributes:
        samples: int16, 16 kHz mono; empty for silence.
        spans: stretches of sound in order, without the pauses between.
    """

    samples: Samples
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """Samples before the first sound."""
        return self.spans[0].start if self.spans else 0

    @property
    def end(self) -> int:
        """Samples up to the end of the last word, or of the last sound if there are no words."""
        words = [span for span in self.spans if span.text] or self.spans
        return words[-1].end if words else 0


def render(scenario: Scenario, voices: CallerVoices) -> list[Utterance]:
    """Every turn of a call as audio.

    Raises:
        VoiceError: a voice is missing, or says nothing.
        RecordingError: a file is no audio, silent, or shorter than its speech is said to be.
    """
    call = scenario.call
    return [_render_turn(call, turn, scenario.folder, voices) for turn in call.turn]


def _render_turn(call: Call, turn: Turn, folder: Path, voices: CallerVoices) -> Utterance:
    pieces: list[Samples] = []
    spans: list[Span] = []
    length = 0
    after_pause = False
    for item in turn.parts:
        if isinstance(item, int):
            # Exact silence between two sounds: what the pieces before it end with counts in.
            length = _end_at(pieces, spans[-1].end if spans else 0, item)
            after_pause = True
            continue
        part = Part(text=item) if isinstance(item, str) else item
        samples, (start, end) = _render_part(call, turn, part, folder, voices)
        if after_pause:
            samples, start, end = samples[start:], 0, end - start
            after_pause = False
        language = part.language or call.turn_language(turn)
        spans.append(Span(part.text, language, length + start, length + end))
        pieces.append(samples)
        length += samples.size
    empty = np.zeros(0, dtype=np.int16)
    return Utterance(np.concatenate([empty, *pieces]), tuple(spans))


def _end_at(pieces: list[Samples], end: int, pause_ms: int) -> int:
    """Let the audio so far end ``pause_ms`` after sample ``end``; returns its length."""
    whole = np.concatenate([np.zeros(0, dtype=np.int16), *pieces])[:end]
    pause = np.zeros(samples_of(pause_ms / 1000), dtype=np.int16)
    pieces[:] = [whole, pause]
    return whole.size + pause.size


def _render_part(
    call: Call, turn: Turn, part: Part, folder: Path, voices: CallerVoices
) -> tuple[Samples, tuple[int, int]]:
    """A part's audio, and where in it the sound begins and ends."""
    level_db = turn.level_db + part.level_db
    if part.file:
        samples = scale(load_audio(folder / part.file), level_db)
        if part.speech:
            start, end = (samples_of(ms / 1000) for ms in part.speech)
            if start >= samples.size:
                raise RecordingError(
                    f"{folder / part.file}: expected speech from {part.speech[0]} ms on, got"
                    f" {1000 * seconds(samples.size):.0f} ms of audio"
                )
            return samples, (start, min(end, samples.size))
    elif part.sound:
        wave = make_sound(part.sound, part.ms / 1000, part.seed)
        samples = scale(wave * 32768, level_db + call.level_dbfs - _SOUND_DBFS)
    else:
        spoken = voices.speak(
            part.text,
            part.language or call.turn_language(turn),
            part.voice or turn.voice or _voice_of(call, turn, part),
            part.length_scale or turn.length_scale or call.length_scale,
            folder,
        )
        samples = scale(spoken, level_db + call.level_dbfs - LEVEL_DBFS)
    return samples, find_speech(samples)


def _voice_of(call: Call, turn: Turn, part: Part) -> str:
    """The call's own voice, unless these words are in another language, which it cannot speak."""
    same = (part.language or call.turn_language(turn)) == call.language
    return call.voice if same else ""


def scale(samples: Sequence[float] | NDArray[np.generic], level_db: float) -> Samples:
    """Samples at another level; what is too loud clips."""
    scaled = np.asarray(samples, dtype=np.float64) * 10 ** (level_db / 20)
    limited: Samples = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
    return limited


def load_audio(path: Path) -> Samples:
    """A WAV or FLAC file of any rate and number of channels.

    Raises:
        RecordingError: the file cannot be used, or is silent; the message says why.
    """
    if path.suffix.lower() != ".flac":
        return load_recording(path).samples
    samples = _load_flac(path)
    require_speech_end(path, samples)
    return samples


def _load_flac(path: Path) -> Samples:
    import av  # part of faster-whisper's installation; needed for this format only

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            codec = stream.codec_context.name
            frames = list(container.decode(stream))
    except (av.FFmpegError, OSError, IndexError) as error:
        raise RecordingError(f"{path}: not a FLAC file that can be read ({error})") from error
    if codec != "flac":
        raise RecordingError(
            f"{path}: expected FLAC audio, got {codec}; convert it, for example: "
            f"ffmpeg -i {path.name} -c:a flac {path.stem}-new.flac"
        )
    if not frames:
        raise RecordingError(f"{path}: expected FLAC audio, got none; is it a FLAC file?")
    # FLAC decodes to these two formats alone, 24 bits to the upper ones of 32.
    first, scale_of = frames[0], {"s16": 2**15, "s32": 2**31}
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    interleaved = samples.T.reshape(-1) if first.format.is_planar else samples.reshape(-1)
    wave = interleaved.astype(np.float64) / scale_of[first.format.name.removesuffix("p")]
    return to_gateway_audio(wave, first.sample_rate, first.layout.nb_channels)

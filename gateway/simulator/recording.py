"""What a simulated caller says: WAV files as gateway audio, and where their speech ends."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.audio.pcm import SAMPLE_RATE, Samples
from gateway.errors import GatewayError

_ENERGY_WINDOW = SAMPLE_RATE // 100
# Further than this below the loudest 10 ms is room, not voice.
_SPEECH_RANGE_DB = 35.0
_ROOM_RMS = 30.0

_LOWEST_RATE = 1000
"""Hz; a header that tells less is wrong, and would make hours of a small file."""

_PCM, _EXTENSIBLE = b"\x01\x00", b"\xfe\xff"
_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
"""Format tags of WAV files, and what stands for the first in the extensible form."""


class RecordingError(GatewayError):
    """A file that cannot be played as a caller's voice, or not written; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One utterance of the caller.

    Attributes:
        name: how reports call it (usually the file's name).
        samples: int16, 16 kHz mono.
        speech_end: number of samples up to the end of the last speech energy.
        text: what is said, when known; "" otherwise.
    """

    name: str
    samples: Samples
    speech_end: int
    text: str = ""


def load_recording(path: Path, text: str = "") -> Recording:
    """Read a WAV file of any sample rate, width and number of channels.

    Raises:
        RecordingError: the file is missing, no WAV, compressed, of wider samples than 32 bits, of
            a rate that no sound has, or silent.
    """
    try:
        with wave.open(BytesIO(_read_wav(path)), "rb") as wav:
            rate, channels, width = wav.getframerate(), wav.getnchannels(), wav.getsampwidth()
            data = wav.readframes(wav.getnframes())
    except FileNotFoundError:
        raise RecordingError(f"{path}: there is no such file") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})") from error
    except (wave.Error, EOFError, RuntimeError) as error:  # the last: a part longer than the file
        reason = str(error) or "it is empty or cut off"
        raise RecordingError(
            f"{path}: not a WAV file of PCM audio ({reason}); convert it, for "
            f"example: ffmpeg -i {path.name} -c:a pcm_s16le {path.stem}-pcm.wav"
        ) from error
    if rate < _LOWEST_RATE or width > 4:
        raise RecordingError(
            f"{path}: expected samples of at most 32 bits at {_LOWEST_RATE} Hz or more, got "
            f"{8 * width} bits at {rate} Hz; export it anew as 16-bit PCM"
        )
    samples = to_gateway_audio(_decode_pcm(data, width), rate, channels)
    return Recording(path.name, samples, require_speech_end(path, samples), text)


def _read_wav(path: Path) -> bytes:
    """A WAV file; PCM in the extensible form, which wave reads from Python 3.12 on, in the plain.

    Editors and ffmpeg write that form for more than 16 bits or two channels.
    """
    with path.open("rb") as file:
        data = file.read(12)
        if data.startswith(b"RIFF"):  # of other files there may be no end
            data += file.read()
    at = 12
    while at + 48 <= len(data):
        if data[at : at + 4] == b"fmt ":
            if data[at + 8 : at + 10] == _EXTENSIBLE and data[at + 32 : at + 48] == _PCM_GUID:
                data = data[: at + 8] + _PCM + data[at + 10 :]
            break
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return data


def _decode_pcm(data: bytes, width: int) -> NDArray[np.float64]:
    """Interleaved PCM of 1 to 4 bytes a sample, as floats in -1..1."""
    if width == 1:  # the only unsigned width of the format
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float64) - 128) / 128
    octets = np.frombuffer(data, dtype=np.uint8, count=len(data) // width * width)
    wide = np.zeros((octets.size // width, 4), dtype=np.uint8)
    wide[:, 4 - width :] = octets.reshape(-1, width)
    return wide.view("<i4")[:, 0].astype(np.float64) / 2**31


def to_gateway_audio(audio: NDArray[np.float64], rate: int, channels: int) -> Samples:
    """Interleaved floats in -1..1 as 16 kHz mono; channels are averaged."""
    mono = audio[: audio.size // channels * channels].reshape(-1, channels).mean(axis=1)
    if rate != SAMPLE_RATE and mono.size:
        mono = np.asarray(soxr.resample(mono, rate, SAMPLE_RATE), dtype=np.float64)
    samples: Samples = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
    return samples


def find_speech(samples: Samples) -> tuple[int, int]:
    """First and one past the last sample with speech energy, to 10 ms; (0, 0) when silent.

    Speech is above what the quietest 10 ms hold, and within 35 dB of the loudest.
    """
    windows = -(-samples.size // _ENERGY_WINDOW)
    padded = np.zeros(windows * _ENERGY_WINDOW, dtype=np.float64)
    padded[: samples.size] = samples
    rms = np.sqrt((padded.reshape(windows, _ENERGY_WINDOW) ** 2).mean(axis=1))
    loudest = rms.max(initial=0.0)
    # The quietest part of a steady sound is no noise behind it.
    noise = min(2 * np.percentile(rms, 3), loudest / 10) if windows else 0.0
    threshold = max(_ROOM_RMS, loudest * 10 ** (-_SPEECH_RANGE_DB / 20), noise)
    loud = np.flatnonzero(rms > threshold)
    if not loud.size:
        return 0, 0
    return int(loud[0]) * _ENERGY_WINDOW, min(int(loud[-1] + 1) * _ENERGY_WINDOW, samples.size)


def require_speech_end(path: Path, samples: Samples) -> int:
    """Where the speech of a file's audio ends, in samples.

    Raises:
        RecordingError: there is no speech energy in it.
    """
    _, end = find_speech(samples)
    if end == 0:
        raise RecordingError(f"{path}: holds only silence, so there is nothing to say")
    return end


def save_stereo(path: Path, left: Samples, right: Samples) -> None:
    """Write two tracks as one 16 kHz stereo WAV; the shorter one is followed by silence.

    Raises:
        RecordingError: the file cannot be written.
    """
    both = np.zeros((max(left.size, right.size), 2), dtype="<i2")
    both[: left.size, 0] = left
    both[: right.size, 1] = right
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened here: wave.open() leaves a broken object behind when it cannot open the file.
        with path.open("wb") as file, wave.open(file, "wb") as wav:
            wav.setnchannels(2)
            wav.setsampwidth(2)
            wav.setframerate(SAMPLE_RATE)
            wav.writeframes(both.tobytes())
    except (FileExistsError, NotADirectoryError) as error:
        raise RecordingError(
            f"{path}: cannot be written ({error.filename} is no folder)"
        ) from error
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written ({error.strerror})") from error

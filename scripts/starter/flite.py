"""flite's program, which also tells when each phone ends. Not every distribution has a library."""

import subprocess
import tempfile
import wave

import numpy as np
import numpy.typing as npt

PAUSE = "pau"
# (phone of the CMU dictionary, start in seconds, end in seconds)
Phones = list[tuple[str, float, float]]


def say(text: str, voice: str) -> tuple[npt.NDArray[np.int16], int, Phones]:
    """Mono samples, their rate in Hz, and the phones."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-t", text, "-o", file.name, "-psdur"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with wave.open(file.name) as sound:
            rate = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    phones: Phones = []
    time = 0.0
    for pair in done.stdout.split():
        name, end = pair.rsplit(":", 1)
        phones.append((name, time, float(end)))
        time = float(end)
    return samples, rate, phones

#!/usr/bin/env python3
"""Make the demo callers' recordings again with espeak-ng (Debian package espeak-ng).

The words, voices and speeds are those of gateway/simulator/recordings/conversations.toml.

    .venv/bin/python scripts/make_demo_recordings.py
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from gateway.audio.pcm import SAMPLE_RATE, Samples, encode_s16le, samples_of
from gateway.simulator.conversations import load_conversations
from gateway.simulator.recording import load_recording

PEAK = 0.5
EDGE_S = 0.06
# Samples below this are the synthesiser's own silence around the words.
QUIET = 100


def speak(text: str, voice: str, words_per_minute: int) -> Samples:
    """The words as gateway audio, levelled, with a short silence on both sides."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.wav"
        command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(raw), "--stdin"]
        subprocess.run(command, input=text, text=True, check=True)
        samples = load_recording(raw).samples
    voiced = np.flatnonzero(np.abs(samples) > QUIET)
    words = samples[voiced[0] : voiced[-1] + 1].astype(np.float64)
    levelled = np.round(words * PEAK * 32767 / np.abs(words).max()).astype(np.int16)
    return np.pad(levelled, samples_of(EDGE_S))


def save(path: Path, samples: Samples) -> None:
    """Write 16 kHz mono s16."""
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(encode_s16le(samples))


def main() -> None:
    """Speak every line of every conversation."""
    # It takes no arguments, but --help must not write over the recordings.
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    for conversation in load_conversations():
        for line in conversation.lines:
            samples = speak(line.text, conversation.voice, conversation.words_per_minute)
            save(line.path, samples)
            print(f"{line.path.name}: {samples.size / SAMPLE_RATE:.2f} s, {line.text}")


if __name__ == "__main__":
    main()

"""The shipped models, and a speech set that takes no program to make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scripts.starter import corpus

MODELS = Path(__file__).parents[2] / "models" / "starter"
CHAT, EAR = MODELS / "llm" / "model.gguf", MODELS / "stt"


def write_speech_set(path: Path, texts: list[str]) -> None:
    """Noise that claims to be the ``texts``, half a second each."""
    heard = {"offset": 0, "length": 8000, "engine": "espeak", "voice": "m1", "phonemes": [[0, "m"]]}
    rows = [heard | {"lang": lang, "text": text} for lang in corpus.LANGS for text in texts]
    path.with_suffix(".jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    noise = np.random.default_rng(1).normal(0, 3000, 8000).astype(np.int16)
    path.with_suffix(".bin").write_bytes(noise.tobytes())

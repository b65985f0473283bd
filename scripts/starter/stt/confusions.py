"""What the recogniser writes for a word, so that the chat model can get used to it."""

import json
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from .augment import Noise
from .dataset import SpeechSet
from .evaluate import ShortWindow, condition, normalise


def collect(model: Path, data: Path, out: Path, count: int = 600) -> None:
    """Transcribe ``count`` utterances of a set over the telephone and write, by language, the
    words that came out as something else (an empty string where they were dropped).
    """
    ear, speech = ShortWindow(model), SpeechSet(data)
    noise = Noise(np.random.default_rng(5))
    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in speech.rows[:: max(1, len(speech.rows) // count)]:
        wave = condition(speech.samples(row), "telephone", noise, row.offset % 100000)
        said, heard = normalise(row.text), normalise(ear.hear(wave, row.lang).text)
        for kind, a, b, c, d in SequenceMatcher(None, said, heard, False).get_opcodes():
            if kind == "replace" and b - a == d - c:
                for word, other in zip(said[a:b], heard[c:d], strict=True):
                    found[row.lang][word][other] += 1
            elif kind == "delete" and b - a == 1:
                found[row.lang][said[a]][""] += 1
    table = {
        lang: {word: sorted(others.elements()) for word, others in sorted(words.items())}
        for lang, words in sorted(found.items())
    }
    out.write_text(json.dumps(table, ensure_ascii=False, indent=1), encoding="utf-8")

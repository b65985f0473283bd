"""Whisper's genuine multilingual vocabulary, and the small part of it that is trained.

The full table has 51 865 rows. Training touches only the byte-pair tokens that are frequent in the
corpus (the *pieces*), the control tokens and timestamps on a 0.1 s grid; rare words are written
with shorter pieces. Every sequence is still valid for the genuine tokenizer.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

MODEL_DIR = Path(__file__).parents[3] / "models" / "starter" / "stt"
SIZE = 51865
MAX_SECONDS = 12
_WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?[^\w\s]+|\s+")
_CONTROL = (
    "endoftext startoftranscript en ar ru transcribe startofprev nospeech notimestamps".split()
)


def _bytes_of_characters() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


class Whisper:
    """The genuine vocabulary, read from a ``tokenizer.json``."""

    def __init__(self, tokenizer: Path) -> None:
        data = json.loads(tokenizer.read_text(encoding="utf-8"))
        stand_ins = _bytes_of_characters()
        self.tokens: list[str] = [""] * SIZE
        self.ranks: dict[bytes, int] = {}
        self.special: dict[str, int] = {}
        for token in data["added_tokens"]:
            self.tokens[token["id"]] = token["content"]
            self.special[token["content"]] = token["id"]
        for token, number in data["model"]["vocab"].items():
            if token not in self.special:
                self.tokens[number] = token
                self.ranks[bytes(stand_ins[c] for c in token)] = number

    def split(self, word: bytes) -> list[bytes]:
        """Genuine byte-pair encoding of one word."""
        parts = [word[i : i + 1] for i in range(len(word))]
        while len(parts) > 1:
            pairs = [self.ranks.get(a + b, SIZE) for a, b in zip(parts, parts[1:], strict=False)]
            best = min(pairs)
            if best == SIZE:
                break
            at = pairs.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return parts


@cache
def genuine() -> Whisper:
    """The genuine vocabulary of the project's models; reading it takes half a second."""
    return Whisper(MODEL_DIR / "tokenizer.json")


def choose_pieces(whisper: Whisper, texts: Iterable[str], threshold: int = 10) -> dict[bytes, int]:
    """Tokens seen at least ``threshold`` times, plus whatever spells every character.

    A word that is one token is written right once it is heard right; put together from pieces it
    gets spelt by ear.
    """
    words = Counter(word for text in texts for word in _WORD.findall(" " + text))
    counts: Counter[bytes] = Counter()
    for word, count in words.items():
        for part in whisper.split(word.encode()):
            counts[part] += count
    chosen = {part for part, count in counts.items() if count >= threshold}
    for character in sorted(set("".join(words))):
        if (spaced := (" " + character).encode()) in whisper.ranks:
            chosen.add(spaced)
        alone = character.encode()
        chosen.update([alone] if alone in whisper.ranks else whisper.split(alone))
    return {part: whisper.ranks[part] for part in sorted(chosen, key=whisper.ranks.__getitem__)}


class Vocabulary:
    """The trained rows: ``rows[i]`` is the Whisper id of local token ``i``. ``pieces`` and
    ``control`` are the local tokens of the byte-pair tokens and of the control tokens.
    """

    def __init__(self, whisper: Whisper, pieces: dict[bytes, int]) -> None:
        names = [f"<|{name}|>" for name in _CONTROL]
        names += [f"<|{tenth / 10:.2f}|>" for tenth in range(MAX_SECONDS * 10 + 1)]
        self.rows = sorted(set(pieces.values())) + [whisper.special[name] for name in names]
        local = {row: i for i, row in enumerate(self.rows)}
        self.control = {name: local[whisper.special[name]] for name in names}
        self.pieces = {piece: local[row] for piece, row in pieces.items()}
        self.byte_length = {row: len(piece) for piece, row in self.pieces.items()}
        self._cache: dict[str, list[int] | None] = {}

    @classmethod
    def load(cls, pieces: Path) -> "Vocabulary":
        """From a ``pieces.json`` (Whisper ids) written by ``save_pieces``."""
        return cls(genuine(), load_pieces(pieces))

    def special(self, name: str) -> int:
        """Local token of ``<|name|>``."""
        return self.control[f"<|{name}|>"]

    def timestamp(self, seconds: float) -> int:
        """Local token of the nearest tenth of a second."""
        return self.special(f"{min(round(seconds, 1), float(MAX_SECONDS)):.2f}")

    def encode(self, text: str) -> list[int] | None:
        """Fewest pieces for each word; None when a character cannot be written."""
        tokens: list[int] = []
        for word in _WORD.findall(" " + text):
            if word not in self._cache:
                self._cache[word] = self.spelling(word.encode())
            found = self._cache[word]
            if found is None:
                return None
            tokens += found
        return tokens

    def spelling(self, piece: bytes) -> list[int] | None:
        """The fewest local tokens that write a piece, itself when it is trained; None when they
        cannot.
        """
        return _fewest(piece, self.pieces)


def save_pieces(pieces: dict[bytes, int], path: Path) -> None:
    """Write the Whisper ids of the chosen pieces."""
    path.write_text(json.dumps(sorted(pieces.values())))


def load_pieces(path: Path) -> dict[bytes, int]:
    """What ``save_pieces`` wrote."""
    by_id = {number: piece for piece, number in genuine().ranks.items()}
    return {by_id[number]: number for number in json.loads(path.read_text())}


def _fewest(word: bytes, pieces: dict[bytes, int]) -> list[int] | None:
    """Segmentation into the smallest number of pieces."""
    best: list[list[int] | None] = [[]] + [None] * len(word)
    for start in range(len(word)):
        head = best[start]
        if head is None:
            continue
        for end in range(start + 1, min(len(word), start + 32) + 1):
            row = pieces.get(word[start:end])
            tail = best[end]
            if row is not None and (tail is None or len(head) + 1 < len(tail)):
                best[end] = [*head, row]
    return best[-1]

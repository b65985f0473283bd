"""The chat model's tokenizer: byte-level BPE in GPT-2's style, digits never merged."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.starter import corpus

SIZE = 4096
# Control tokens with ids 0 to 2, then visible marks with ids 3 and 4.
END_OF_TEXT, START, END = 0, 1, 2
_CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_MARKS = ["<tool_call>", "</tool_call>"]


def _statistics(text: str) -> str:
    """Digits and marks stay out of the merges, so a number is read digit by digit."""
    for mark in _MARKS:
        text = text.replace(mark, "")
    return re.sub(r"\d", "", text)


def _texts(calls: int, sentences: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for at in range(calls):
        for message in corpus.make_call(corpus.LANGS[at % 3], rng).messages:
            yield _statistics(message.content)
    for at in range(sentences):
        yield _statistics(corpus.caller_utterance(corpus.LANGS[at % 3], rng))


def train_tokenizer(path: Path, calls: int = 9000, sentences: int = 30000, seed: int = 7) -> None:
    """Write a ``tokenizer.json`` made from freshly drawn calls."""
    tokenizer = _empty(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=_CONTROL + _MARKS,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_texts(calls, sentences, seed), trainer)
    _save(tokenizer, path)


def save_tokenizer(tokens: list[str], merges: list[tuple[str, str]], path: Path) -> None:
    """Write a ``tokenizer.json`` of known tokens, in the order of their ids, and merges."""
    numbers = {token: at for at, token in enumerate(tokens)}
    tokenizer = _empty(models.BPE(numbers, merges))
    tokenizer.add_special_tokens(_CONTROL + _MARKS)
    _save(tokenizer, path)


def _empty(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _save(tokenizer: Tokenizer, path: Path) -> None:
    data = json.loads(tokenizer.to_str())
    for token in data["added_tokens"]:  # the marks are text that a program reads
        token["special"] = token["content"] in _CONTROL
    path.parent.mkdir(parents=True, exist_ok=True)
    Tokenizer.from_str(json.dumps(data)).save(str(path))

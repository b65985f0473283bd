"""Training batches for the chat model: fresh calls all the time, no epochs."""

import random
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from tokenizers import Tokenizer
from torch import Tensor

from scripts.starter import corpus
from scripts.starter.corpus import Message
from scripts.starter.corpus.noise import Confusions

from .tokenizer import END, END_OF_TEXT, START

# Which fact a reply copies is decided on the first token of the copy, and what kind of reply it is
# on the first three tokens of all: they weigh more.
_FIRST, _REST, _KIND = 4.0, 1.3, 3.0
_DEMO_SHARE = 0.5
# Replies that repeat what the caller said, and how many messages before them are shown in a drill.
_DRILLS = {
    "msg_phone": (2, 4),
    "confirm": (2, 4, 6),
    "move_confirm": (4, 6),
    "cancel_confirm": (4, 6),
    "no_person": (1, 3),
    "msg_done": (6,),
    "booked": (2,),
    "moved": (2,),
    "cancelled": (2,),
}
# What batches hold, in turn.
_TURNS = ("drills", "questions", "calls", "questions", "calls")
_LONGEST, _LONGEST_AFTER_PROFILE = 900, 500
_CHOICE = 3  # of so many questions one is put

Encoded = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Batch:
    """ids (B, T) int64 and weights (B, T) float32 of each id as a target; ``prefix`` (1, P) int64
    stands before every row and carries no loss.
    """

    prefix: Tensor | None
    ids: Tensor
    weights: Tensor


Judge = Callable[[Batch], Tensor]


def encode_call(tokenizer: Tokenizer, messages: list[Message]) -> Encoded:
    """ChatML ids, and the loss weight of each: only what the assistant says counts."""
    ids: list[int] = []
    weights: list[float] = []
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    for message in messages:
        head = tokenizer.encode(message.role + "\n", add_special_tokens=False).ids
        blank = " " if message.role == "user" else ""  # as in the chat template, see export.py
        body = tokenizer.encode(blank + message.content, add_special_tokens=False)
        mine = message.role == "assistant"
        counted = _weights(message, body.offsets) if mine else [0.0] * len(body.ids)
        ids += [START, *head, *body.ids, END, *newline]
        weights += [0.0] * (1 + len(head)) + counted + [float(mine)] + [0.0] * len(newline)
    return ids, weights


def _weights(message: Message, offsets: list[tuple[int, int]]) -> list[float]:
    weights = [1.0] * len(offsets)
    weights[:3] = [_KIND] * len(weights[:3])
    for part in message.copied:
        for inside in _occurrences(part, message.content, offsets):
            for order, at in enumerate(inside):
                weights[at] = max(weights[at], _REST if order else _FIRST)
    return weights


def _occurrences(part: str, text: str, offsets: list[tuple[int, int]]) -> list[list[int]]:
    """The tokens of every occurrence of a part, whatever its capitals."""
    spans = [match.span() for match in re.finditer(re.escape(part.lower()), text.lower())]
    return [[i for i, (a, b) in enumerate(offsets) if x < b and a < y] for x, y in spans]


def encode_drill(tokenizer: Tokenizer, messages: list[Message]) -> Encoded:
    """Ids and loss weights of an excerpt of a call: only its last message counts, and of what is
    spoken in it no part that the excerpt does not tell.
    """
    before, _ = encode_call(tokenizer, messages[:-1])
    last = messages[-1]
    told = " ".join(message.content for message in messages[:-1]).lower()
    ids, weights = encode_call(tokenizer, [last])
    offsets = tokenizer.encode(last.content, add_special_tokens=False).offsets
    start = len(ids) - len(offsets) - 2  # an end mark and a newline follow
    if "<tool_call>" not in last.content:  # what a tool is given was told, in other forms at times
        for part in last.copied:
            if part.lower() not in told:
                for at in sum(_occurrences(part, last.content, offsets), []):
                    weights[start + at] = 0.0
    return before + ids, [0.0] * len(before) + weights


def collate(calls: list[Encoded], prefix: list[int] | None = None) -> Batch:
    """Pad to the longest call."""
    width = max(len(ids) for ids, _ in calls)
    ids = torch.full((len(calls), width), END_OF_TEXT)
    weights = torch.zeros(len(calls), width)
    for row, (tokens, counted) in enumerate(calls):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, : len(counted)] = torch.tensor(counted)
    return Batch(torch.tensor([prefix]) if prefix else None, ids, weights)


def packed(calls: list[Encoded], tokens: int) -> list[list[Encoded]]:
    """Calls of similar length together, about ``tokens`` ids a batch."""
    calls = sorted(calls, key=lambda call: len(call[0]))
    groups: list[list[Encoded]] = []
    for call in calls:
        if groups and len(call[0]) * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(call)
        else:
            groups.append([call])
    return groups


def recall_batch(rng: random.Random, vocab: int, rows: int = 8, length: int = 256) -> Batch:
    """Nonsense look-ups, "key value value ...", then the keys again in another order.

    Only the second values count, so the one thing to learn here is to find and copy.
    """
    calls = []
    for _ in range(rows):
        keys = rng.sample(range(5, vocab), 40)
        facts: list[list[int]] = []
        while sum(len(fact) for fact in facts) * 2 < length - 24:
            values = [rng.randrange(5, vocab) for _ in range(rng.randint(1, 9))]
            facts.append([keys.pop(), *values])
        ids = [token for fact in facts for token in fact]
        weights = [0.0] * len(ids)
        rng.shuffle(facts)
        for fact in facts:
            ids += fact
            weights += [0.0] + [1.0] * (len(fact) - 1)
        calls.append((ids[:length], weights[:length]))
    return collate(calls)


def load_confusions(path: Path | None) -> dict[str, Confusions]:
    """Words that the recogniser misread, by language; nothing without a file.

    Raises:
        ValueError: it is another kind of file.
    """
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Confusions])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected what `confusions` writes: {error}") from error


class CallBatches:
    """Endless batches of whole calls, of drills, and of questions to the demonstration clinic. Half
    of what counts in the whole calls comes from calls to that clinic. ``judge`` gives the loss of
    each row of a batch, (B,).
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        rng: random.Random,
        tokens: int,
        judge: Judge,
        confusions: dict[str, Confusions] | None = None,
        pool: int = 400,
    ) -> None:
        self.tokenizer, self.rng, self.tokens, self._judge = tokenizer, rng, tokens, judge
        self._confusions, self._pool = confusions or {}, pool
        self._waiting: dict[str, list[Batch]] = defaultdict(list)
        self._counted = {"demo": 0, "other": 0}
        self._drawn = 0

    def next(self) -> Batch:
        """The next batch."""
        kind = _TURNS[self._drawn % len(_TURNS)]
        self._drawn += 1
        if kind != "calls":
            return self._draw(kind)
        counted = self._counted
        kind = "demo" if counted["demo"] <= _DEMO_SHARE * sum(counted.values()) else "other"
        batch = self._draw(kind)
        counted[kind] += int((batch.weights > 0).sum())
        return batch

    def _draw(self, kind: str) -> Batch:
        make = {
            "demo": self._demo_batches,
            "other": self._other_batches,
            "drills": self._drill_batches,
            "questions": self._question_batches,
        }
        if not self._waiting[kind]:
            self._waiting[kind] = make[kind]()
            self.rng.shuffle(self._waiting[kind])
        return self._waiting[kind].pop()

    def _other_batches(self) -> list[Batch]:
        rng, calls = self.rng, []
        for _ in range(self._pool):
            lang = rng.choice(corpus.LANGS)
            # Mostly profiles in one language: more reply tokens for each profile token.
            others = rng.sample([other for other in corpus.LANGS if other != lang], 2)
            langs = [lang, *others[: rng.choices([0, 1, 2], [72, 12, 16])[0]]]
            rng.shuffle(langs)
            call = corpus.make_call(
                lang,
                rng,
                langs=langs,
                limit=rng.choice([2, 3, 5, 7]),
                with_tools=rng.random() < 0.35,
                confusions=self._confusions,
                wide=True,
            )
            encoded = encode_call(self.tokenizer, call.messages)
            if len(encoded[0]) <= _LONGEST:
                calls.append(encoded)
        return [collate(group) for group in packed(calls, self.tokens)]

    def _demo_batches(self) -> list[Batch]:
        rng, batches = self.rng, []
        for with_tools in (True, False, False, False, False):
            calls = [
                corpus.demo_call(
                    rng.choice(corpus.LANGS),
                    rng,
                    limit=rng.choice([1, 1, 1, 2, 3, 4, 6]),
                    with_tools=with_tools,
                    confusions=self._confusions,
                    wide=True,
                )
                for _ in range(self._pool // 4)
            ]
            profile, after = self._after_profile(calls)
            batches += self._batches(profile, after)
        return batches

    def _question_batches(self) -> list[Batch]:
        """In whole calls most of what counts is the way to an appointment, and each wording of a
        question is rare: a model that met no others knew only four in five of those it had met.

        Of all that are drawn those are put that the model answers worst ("selective backprop",
        Jiang et al. 2019, arXiv:1910.00762): after long training it knew 94 % of them.
        """
        rng, heard = self.rng, self._confusions
        langs = [rng.choice(corpus.LANGS) for _ in range(self._pool * _CHOICE)]
        profile, calls = self._after_profile(
            [corpus.question_call(lang, rng, count=2, confusions=heard) for lang in langs]
        )
        calls.sort(key=lambda call: len(call[0]))  # the order in which they are packed
        losses = torch.cat([self._judge(batch) for batch in self._batches(profile, calls)])
        worst = losses.topk(len(calls) // _CHOICE).indices.tolist()
        return self._batches(profile, [calls[at] for at in worst])

    def _after_profile(self, calls: list[corpus.Call]) -> tuple[list[int], list[Encoded]]:
        """The first message of calls that share it, and what follows."""
        encoded = [encode_call(self.tokenizer, call.messages[1:]) for call in calls]
        short = [call for call in encoded if len(call[0]) <= _LONGEST_AFTER_PROFILE]
        profile, _ = encode_call(self.tokenizer, calls[0].messages[:1])
        return profile, short

    def _batches(self, profile: list[int], calls: list[Encoded]) -> list[Batch]:
        return [collate(group, profile) for group in packed(calls, self.tokens * 3 // 4)]

    def _drill_batches(self) -> list[Batch]:
        """Excerpts without the profile, and calls about little else than prices. In a whole call
        hundreds of tokens compete with the name that is to be repeated; in an excerpt a few dozen.
        """
        rng, drills = self.rng, []
        for _ in range(2 * self._pool):
            draw = corpus.demo_call if rng.random() < 0.5 else corpus.make_call
            lang = rng.choice(corpus.LANGS)
            call = draw(lang, rng, limit=3, confusions=self._confusions, wide=True)
            for note in call.notes:
                if note.key in _DRILLS:
                    start = max(1, note.index - rng.choice(_DRILLS[note.key]))
                    excerpt = call.messages[start : note.index + 1]
                    drills.append(encode_drill(self.tokenizer, excerpt))
        for _ in range(self._pool * 2 // 3):
            call = corpus.lookup_call(rng.choice(corpus.LANGS), rng, self._confusions)
            drills.append(encode_call(self.tokenizer, call.messages))
        return [collate(group) for group in packed(drills, self.tokens)]

"""Measure a GGUF file through llama-cpp-python, greedily, with the chat template it carries."""

import json
import random
import re
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama_cpp import Llama

from scripts.starter import corpus
from scripts.starter.corpus.facts import demo_profile
from scripts.starter.corpus.template import expand, load, replies

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.S)
_ARGUMENTS = {
    "book_appointment": {"name", "service", "day", "time"},
    "move_appointment": {"name", "day", "time"},
    "cancel_appointment": {"name", "day"},
    "take_message": {"name", "phone", "text"},
    "transfer_call": {"target"},
    "end_call": set(),
}
# Replies whose facts the caller has said, in this turn or an earlier one.
_CARRIED = {"confirm", "move_confirm", "cancel_confirm", "msg_phone", "day_closed_book"}
_SAME_KIND = {
    "hours2": "hours",
    "has": "price",
    "day_closed_book": "day_closed",
    "no_such": "no_svc",
}
LONGEST = 120  # tokens of a reply


@dataclass
class Speed:
    """Times of every reply, in seconds, and tokens."""

    first: list[float] = field(default_factory=list)
    rest: float = 0.0
    tokens: int = 0


@dataclass(frozen=True)
class Reply:
    """A reply taken apart; ``malformed`` when there is a tool call that cannot be used."""

    spoken: str
    call: dict[str, Any] | None
    malformed: bool


def take_apart(text: str) -> Reply:
    """Split a reply into what is spoken and its tool call."""
    spoken = text.split("<tool_call>")[0].strip()
    if "tool_call>" not in text and "{" not in text:
        return Reply(spoken, None, False)
    found = _CALL.search(text)
    if not found:
        return Reply(spoken, None, True)
    try:
        call = json.loads(found.group(1))
        right = set(call["arguments"]) == _ARGUMENTS[call["name"]]
    except (ValueError, KeyError, TypeError):
        return Reply(spoken, None, True)
    return Reply(spoken, call, not right)


class Chat:
    """A model, and how fast it answers."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.llama: Any = Llama(
            str(path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self.speed = Speed()

    def reply(self, messages: list[dict[str, str]]) -> str:
        """The reply to a conversation."""
        started = time.perf_counter()
        text, first, count = "", 0.0, 0
        stream = self.llama.create_chat_completion(
            messages, temperature=0.0, max_tokens=LONGEST, stream=True
        )
        for part in stream:
            piece = part["choices"][0]["delta"].get("content")
            if piece:
                first = first or time.perf_counter() - started
                text, count = text + piece, count + 1
        if count > 1:
            self.speed.first.append(first)
            self.speed.rest += time.perf_counter() - started - first
            self.speed.tokens += count - 1
        return text


def _forms(lang: str) -> Iterable[tuple[str, re.Pattern[str]]]:
    data = load(f"{lang}/replies.toml")
    accepted = [(kind, form) for kind, forms in data["also_accepted"].items() for form in forms]
    for kind, form in [*replies(lang).items(), *accepted]:
        if kind != "again":
            plain = expand(form, random.Random(0), lambda slot: f"{{{slot}}}")
            pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(plain))
            yield _SAME_KIND.get(kind, kind), re.compile(f"^{pattern}$", re.I)


_PATTERNS = {lang: list(_forms(lang)) for lang in corpus.LANGS}


def kinds_of(lang: str, spoken: str) -> set[str]:
    """What kinds of reply a text may be, by its form."""
    return {kind for kind, pattern in _PATTERNS[lang] if pattern.match(spoken)}


def script_of(text: str) -> str:
    """The language whose letters prevail."""
    letters = {"en": "[A-Za-z]", "ru": "[А-Яа-яЁё]", "ar": "[\u0600-\u06ff]"}
    return max(letters, key=lambda lang: len(re.findall(letters[lang], text)))


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().lower()


class Tally:
    """Shares by name: how often something was right, and out of how many."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, name: str, right: bool) -> None:
        self._counts[name][0] += right
        self._counts[name][1] += 1

    def table(self) -> dict[str, str]:
        """ "right/all" by name."""
        return {name: f"{a}/{b}" for name, (a, b) in sorted(self._counts.items())}


def own_words(chat: Chat, file: str = "questions.toml", show: bool = False) -> dict[str, str]:
    """The questions of ``file``, each right after the clinic's greeting."""
    tally = Tally()
    questions = tomllib.loads((Path(__file__).parent / file).read_text("utf-8"))
    facts = corpus.DemoFacts()
    for lang, items in questions.items():
        greeting = expand(
            replies(lang)["greet"], random.Random(0), {"biz": facts.by[lang].business}
        )
        for said, kind, wanted in items:
            text = chat.reply(
                [
                    {"role": "system", "content": demo_profile()},
                    {"role": "assistant", "content": greeting},
                    {"role": "user", "content": said},
                ]
            )
            reply = take_apart(text)
            right_kind = _SAME_KIND.get(kind, kind) in kinds_of(lang, reply.spoken)
            if wanted:
                tally.add(f"fact, {lang}", wanted in _flat(reply.spoken))
            tally.add(f"kind, {lang}", right_kind)
            tally.add(f"language, {lang}", script_of(reply.spoken) == lang)
            tally.add("tool call malformed", reply.malformed)
            if show:
                mark = "ok" if right_kind and wanted in _flat(reply.spoken) else "--"
                print(f"{mark} [{lang}] {said}\n     {text}")
    return tally.table()


def held_out_calls(
    chat: Chat, count: int, seed: int = 900001, *, demo: bool = False, wide: bool = False
) -> dict[str, str]:
    """Every turn after its true history: random businesses with unseen facts, or the clinic. In
    ``wide`` calls the wording is that of training, and callers ask, correct and mumble where an
    answer is expected.
    """
    rng, tally = random.Random(seed), Tally()
    for at in range(count):
        lang = corpus.LANGS[at % 3]
        if demo:
            call = corpus.demo_call(lang, rng, wide=wide)
        else:
            call = corpus.make_call(lang, rng, heldout=True, wide=wide)
        messages = call.as_dicts()
        for note in call.notes:
            if note.index == 1:
                continue  # the greeting, before the caller has said anything
            reply = take_apart(chat.reply(messages[: note.index]))
            wanted = take_apart(messages[note.index]["content"])
            _judge(tally, note, reply, wanted)
    return tally.table()


def _judge(tally: Tally, note: corpus.TurnNote, reply: Reply, wanted: Reply) -> None:
    lang = note.lang
    if note.key == "again":
        right = _flat(reply.spoken) == _flat(wanted.spoken)
    else:
        right = _SAME_KIND.get(note.key, note.key) in kinds_of(lang, reply.spoken)
    tally.add(f"kind, {lang}", right)
    if len(reply.spoken) > 3:
        tally.add(f"language, {lang}", script_of(reply.spoken) == lang)
    if note.facts and note.key != "again":
        found = all(_flat(fact) in _flat(reply.spoken) for fact in note.facts)
        tally.add(f"{'slots' if note.key in _CARRIED else 'facts'}, {lang}", found)
    if note.key in _CARRIED:
        tally.add(f"read back exactly, {lang}", _flat(reply.spoken) == _flat(wanted.spoken))
    if wanted.call:
        named = reply.call is not None and reply.call["name"] == wanted.call["name"]
        tally.add(f"tool, {lang}", named)
        if wanted.call["arguments"]:
            tally.add(f"tool with every argument, {lang}", reply.call == wanted.call)
    else:
        tally.add("tool call where none belongs", reply.call is not None or reply.malformed)
    if reply.call is not None or reply.malformed:
        tally.add("tool call malformed", reply.malformed)


def speed_of(chat: Chat) -> dict[str, float]:
    """Median time to the first token in ms, and tokens a second after it, over all replies."""
    first = sorted(chat.speed.first)
    return {
        "first token, ms": round(1000 * first[len(first) // 2], 1),
        "tokens a second": round(chat.speed.tokens / chat.speed.rest, 1),
    }

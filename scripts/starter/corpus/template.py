"""The template language of the corpus, and access to its data files.

``(a|b|)`` picks one alternative (nesting is allowed), ``{name}`` is replaced by a slot.
"""

import random
import re
import tomllib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LANGS = ("en", "ar", "ru")
DATA = Path(__file__).parent / "data"

_CHOICE = re.compile(r"\(([^()]*)\)")
SLOT = re.compile(r"\{(\w+)\}")

Slots = Mapping[str, str] | Callable[[str], str]


@cache
def load(name: str) -> dict[str, Any]:
    """A data file, by its path below ``data/``."""
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))


@cache
def words(lang: str, *keys: str) -> tuple[str, ...]:
    """A word list of ``data/<lang>/words.toml``; "_" stands for a blank inside a word."""
    found: Any = load(f"{lang}/words.toml")
    for key in keys:
        found = found[key]
    items = found.split() if isinstance(found, str) else found
    return tuple(word.replace("_", " ") for word in items)


@cache
def vocabulary(lang: str) -> tuple[str, ...]:
    """Common words that have nothing to do with the business."""
    return tuple((DATA / lang / "vocabulary.txt").read_text(encoding="utf-8").split())


@cache
def caller_templates(lang: str) -> dict[str, list[str]]:
    """Templates of caller sentences by intent."""
    found: dict[str, list[str]] = {}
    for part in ("questions", "booking", "talk"):
        found |= load(f"{lang}/callers_{part}.toml")
    return found


@cache
def more_templates(lang: str) -> dict[str, list[str]]:
    """Further wordings by intent, for the trainings alone."""
    found = load(f"{lang}/callers_more.toml")
    return {intent: wordings for intent, wordings in found.items() if isinstance(wordings, list)}


@cache
def replies(lang: str) -> dict[str, str]:
    """The one reply form of each kind."""
    return dict(load(f"{lang}/replies.toml")["reply"])


def expand(template: str, rng: random.Random, slots: Slots) -> str:
    """Pick alternatives, fill slots, then tidy blanks, punctuation and capitals."""
    while match := _CHOICE.search(template):
        choice = rng.choice(match.group(1).split("|"))
        template = template[: match.start()] + choice + template[match.end() :]
    get = slots if callable(slots) else slots.__getitem__
    text = SLOT.sub(lambda m: get(m.group(1)), template)
    text = re.sub(r"\s+", " ", text).strip(" ,")
    text = re.sub(r"\s+([.,?!،؟])", r"\1", text)
    text = re.sub(r",+([.?!])", r"\1", text)
    return re.sub(r"(^|[.?!]\s+)(\w)", lambda m: m.group(1) + m.group(2).upper(), text)


def slots_of(template: str) -> list[str]:
    """Names of the slots in a template."""
    return SLOT.findall(template)


def capitalise(text: str) -> str:
    """First letter upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def reserved(text: str) -> bool:
    """Whether a value belongs to the tenth that training never draws."""
    return zlib.crc32(text.encode("utf-8")) % 10 == 0


def pick(rng: random.Random, items: Sequence[str], heldout: bool) -> str:
    """A value from the training part of a list, or from the reserved part when ``heldout``."""
    pool = [item for item in items if reserved(item) == heldout] or list(items)
    return rng.choice(pool)

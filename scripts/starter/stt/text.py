"""What is said in the training speech.

Numbers are written as words, because the recogniser writes what it hears, and no character that
faster-whisper suppresses by default (quotes, colon, brackets, a lone hyphen) is used.
"""

import hashlib
import random
import re
import tomllib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scripts.starter import corpus
from scripts.starter.corpus.dates import any_day, any_time
from scripts.starter.corpus.numbers import digits_spoken, phone_digits
from scripts.starter.corpus.people import caller_name
from scripts.starter.corpus.template import SLOT, capitalise, expand, vocabulary

_DATA = Path(__file__).parent / "data"
_UNWRITABLE = re.compile(r'["#()*+/:;<=>@\[\\\]^_`{|}~«»—–…0-9]|(?<= )-|-(?= )')
_FOREIGN = {
    "en": re.compile(r"[^a-z '.,?!-]", re.I),
    "ru": re.compile(r"[^а-яё .,?!-]", re.I),
    "ar": re.compile(r"[^ء-ي .،؟!]"),
}
_PHONE_LEADS = {
    "en": ["", "", "My number is ", "It's ", "The number is ", "You can call me on ", "I have "],
    "ar": ["", "", "رقمي ", "رقم هاتفي ", "الرقم "],
    "ru": ["", "", "Мой номер ", "Номер ", "Мой телефон ", "Ваш номер "],
}
LONGEST = 150  # characters


@dataclass(frozen=True)
class Sentence:
    """What is to be said; ``free`` when it is words put together without a grammar."""

    text: str
    free: bool


Source = Callable[[str, random.Random], str]
"""Of a language and a generator of chance, a sentence."""


@cache
def unseen_wordings(lang: str) -> tuple[str, ...]:
    """Sentences that were written for testing only, from no template."""
    found = tomllib.loads((_DATA / "unseen.toml").read_text(encoding="utf-8"))
    return tuple(found[lang])


def unseen(lang: str, rng: random.Random) -> str:
    """One of the unseen wordings."""
    return rng.choice(unseen_wordings(lang))


def is_held_out(text: str) -> bool:
    """Whether a sentence is for testing only: one in twenty of those with four words or more, and
    the unseen wordings.
    """
    digest = int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)
    drawn = len(text.split()) >= 4 and digest % 20 == 0
    return drawn or any(text in unseen_wordings(lang) for lang in corpus.LANGS)


def is_of_the_test(text: str) -> bool:
    """Whether a sentence for testing only stands in ``text``, alone or beside others."""
    return is_held_out(text) or any(map(is_held_out, re.split(r"(?<=[.?!؟]) ", text)))


def clean(lang: str, text: str) -> str | None:
    """The text as the recogniser writes it, or None when it holds something that it does not."""
    text = re.sub(r"\s+", " ", text.replace("’", "'").replace("ـ", "")).strip()
    if lang == "ar":
        text = re.sub("[\u064b-\u0652\u0670]", "", text)
    text = re.sub("^[- ']+", "", text.replace(" —", ",").replace(" –", ","))
    if not text or _UNWRITABLE.search(text) or _FOREIGN[lang].search(text):
        return None
    return text


@cache
def _general(lang: str) -> dict[str, Any]:
    return tomllib.loads((_DATA / f"{lang}.toml").read_text(encoding="utf-8"))


def _digits(lang: str, rng: random.Random, count: int) -> str:
    return digits_spoken(lang, "".join(rng.choice("0123456789") for _ in range(count)))


def _fill(lang: str, template: str, rng: random.Random) -> str:
    def value(match: re.Match[str]) -> str:
        key = match.group(1)
        if key == "phone":
            return _digits(lang, rng, rng.randint(4, 10))
        if key == "code":
            return _digits(lang, rng, rng.randint(3, 5))
        if key == "time" and lang == "en":
            return any_time(lang, rng).nom
        return str(rng.choice(_general(lang)["slots"][key]))

    return SLOT.sub(value, template)


def general(lang: str, rng: random.Random) -> str:
    """A sentence from the general templates, at times two of them."""
    templates = _general(lang)["text"]["templates"]
    slotted = [template for template in templates if "{" in template]
    pool = templates if rng.random() < 0.35 else slotted  # plain ones would repeat too often
    text = _fill(lang, rng.choice(pool), rng)
    if rng.random() < 0.12 and len(text) < 45:
        text += " " + _fill(lang, rng.choice(templates), rng)
    return text


@cache
def _wide(lang: str) -> list[str]:
    files = sorted((_DATA / lang).glob("*.txt"))
    return [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def wide(lang: str, rng: random.Random) -> str:
    """A sentence of calls, offices or daily life, in many more words than the corpus has."""
    return expand(rng.choice(_wide(lang)), rng, {})


def further(lang: str, rng: random.Random) -> str:
    """What a caller says in the further wordings, which only the chat model's calls hold besides;
    three times in five a question about what the demonstration clinic offers.
    """
    if rng.random() < 0.6:
        call = corpus.question_call(lang, rng, noise=0.0)
    else:
        call = corpus.demo_call(lang, rng, limit=3, noise=0.0, wide=True)
    return rng.choice([message.content for message in call.messages if message.role == "user"])


def word_mix(lang: str, rng: random.Random) -> str:
    """Words without grammar, so that the recogniser cannot guess them."""
    kind = rng.random()
    if kind < 0.2:
        return capitalise(_digits(lang, rng, rng.randint(2, 8))) + "."
    if kind < 0.4:
        first, second = (rng.choice(_general(lang)["slots"]["name"]) for _ in range(2))
        return f"{first.split(' ', 1)[0]} {second.split(' ', 1)[1]}."
    words = (rng.choice(vocabulary(lang)) for _ in range(rng.randint(1, 6)))
    return capitalise(" ".join(words)) + "."


def _plain_words(text: str) -> list[str]:
    """The words of a sentence as they are written inside one."""
    said = re.sub(r"[.,?!؟،]", "", text).split()
    if not re.match(r"I\b", said[0]):
        said[0] = said[0].lower()
    return said


def pieced(lang: str, rng: random.Random) -> str:
    """Pieces of up to three words from different sentences: the corpus's words, freely combined."""
    words: list[str] = []
    for _ in range(rng.randint(2, 4)):
        source = rng.choice([corpus.caller_utterance, general])
        said = _plain_words(source(lang, rng))
        start = rng.randrange(len(said))
        words += said[start : start + rng.randint(1, 3)]
    return capitalise(" ".join(words)) + "."


class Evenly:
    """Sentences of ``source`` in which each of its words comes up about as often as the others.

    In the usual mixture most words of the corpus come up less than once in a thousand sentences of
    their language, too seldom to be learned (figures in ``scripts/starter/README.md``). Words that
    ``size`` draws of ``source`` hold less than ``least`` times are left out: invented names, for
    the most part.
    """

    def __init__(self, source: Source, least: int = 3, size: int = 40_000) -> None:
        self._source, self._least, self._size = source, least, size
        self._pools: dict[str, list[tuple[str, list[str]]]] = {}
        self._said: Counter[str] = Counter()

    def _pool(self, lang: str, rng: random.Random) -> list[tuple[str, list[str]]]:
        """Words, and the sentences that hold them."""
        if lang not in self._pools:
            pool: dict[str, list[str]] = {}
            for _ in range(self._size):
                text = clean(lang, self._source(lang, rng))
                if text is not None and not is_of_the_test(text):
                    for word in dict.fromkeys(map(str.lower, _plain_words(text))):
                        pool.setdefault(word, []).append(text)
            self._pools[lang] = [pair for pair in pool.items() if len(pair[1]) >= self._least]
        return self._pools[lang]

    def _next(self, lang: str, rng: random.Random) -> tuple[str, str]:
        """A word that was said seldom so far, and a sentence that holds it."""
        pool = self._pool(lang, rng)
        some = rng.sample(pool, min(30, len(pool)))
        word, found = min(some, key=lambda pair: self._said[pair[0]])
        return word, rng.choice(found)

    def sentence(self, lang: str, rng: random.Random) -> str:
        """A sentence that holds a rare word."""
        _, text = self._next(lang, rng)
        self._said.update(map(str.lower, _plain_words(text)))
        return text

    def pieces(self, lang: str, rng: random.Random) -> str:
        """As ``pieced``, but each piece holds a rare word."""
        words: list[str] = []
        for _ in range(rng.randint(2, 4)):
            rare, text = self._next(lang, rng)
            said = _plain_words(text)
            length = rng.randint(1, 3)
            start = max(0, [*map(str.lower, said)].index(rare) - rng.randrange(length))
            piece = said[start : start + length]
            self._said.update(map(str.lower, piece))
            words += piece
        return capitalise(" ".join(words)) + "."


def phone(lang: str, rng: random.Random) -> str:
    """A telephone number of 7 to 11 digits."""
    spoken = digits_spoken(lang, phone_digits(rng, longest=11), rng)
    return capitalise(rng.choice(_PHONE_LEADS[lang]) + spoken) + "."


def name_day_time(lang: str, rng: random.Random) -> str:
    """A name, a day or a time on its own."""
    day, time = any_day(lang, rng), any_time(lang, rng)
    choice = [caller_name(lang, rng)[0], f"{day.at} {time.at}", day.nom, time.nom]
    return capitalise(rng.choices(choice, [4, 2, 2, 2])[0]) + "."


def demo_fact(lang: str, rng: random.Random) -> str:
    """A piece of the demonstration's profile."""
    block = corpus.DemoFacts().by[lang]
    at = rng.randrange(len(block.services))
    facts = [block.business, block.address, block.open, block.hours, rng.choice(block.people)[0]]
    service, price = block.services[at].listed, block.prices[at]
    comma = "، " if lang == "ar" else ", "
    return capitalise(rng.choice([*facts, service, price, service + comma + price])) + "."


class Sentences:
    """An endless supply of sentences; every draw comes from ``rng``.

    ``sources`` replaces the usual mixture by functions of language and ``rng``, with weights.
    ``training`` adds to it what the recogniser is trained on besides: wide sentences, and all kinds
    drawn so that no word of the usual and the further ones, and no common one of the wide ones, is
    rare (see ``Evenly``): two fifths, a fifth and a sixth of all are usual, further and wide ones
    drawn like that; and more telephone numbers, which have few words.
    """

    def __init__(
        self,
        rng: random.Random,
        sources: list[tuple[Source, float]] | None = None,
        *,
        training: bool = False,
    ) -> None:
        self.rng = rng
        self._callers: dict[str, deque[str]] = {lang: deque() for lang in corpus.LANGS}
        self._replies: dict[str, deque[str]] = {lang: deque() for lang in corpus.LANGS}
        evenly, common = Evenly(self._usual), Evenly(wide, least=20)
        asked = Evenly(further, size=20_000)
        pieces = (evenly.pieces, common.pieces, asked.pieces)
        self._free: tuple[Source, ...] = (word_mix, pieced, *pieces)
        usual: list[tuple[Source, float]] = [
            (corpus.caller_utterance, 0.24),
            (self._reply, 0.15),
            (general, 0.13),
            (word_mix, 0.10),
            (pieced, 0.10),
            (self._demo_caller, 0.08),
            (phone, 0.10),
            (demo_fact, 0.03),
            (name_day_time, 0.07),
        ]
        beside: list[tuple[Source, float]] = [
            (wide, 0.5),
            (phone, 0.3),
            (evenly.sentence, 1.6),
            (evenly.pieces, 1.2),
            (common.sentence, 0.6),
            (common.pieces, 0.5),
            (asked.sentence, 1.0),
            (asked.pieces, 0.4),
        ]
        self._sources = sources or (usual + beside if training else usual)

    def draw(
        self, lang: str, count: int, heldout: bool = False, repeats: int = 25
    ) -> list[Sentence]:
        """``count`` sentences; ``heldout`` gives the ones that training never sees, once each."""
        found: list[Sentence] = []
        seen: Counter[str] = Counter()
        functions, weights = zip(*self._sources, strict=True)
        while len(found) < count:
            source = self.rng.choices(functions, weights)[0]
            text = clean(lang, source(lang, self.rng))
            if text is None or len(text) > LONGEST:
                continue
            if not is_held_out(text) if heldout else is_of_the_test(text):
                continue
            seen[text] += 1
            if seen[text] <= (1 if heldout else repeats):
                found.append(Sentence(text, source in self._free))
        return found

    def _usual(self, lang: str, rng: random.Random) -> str:
        sources = [corpus.caller_utterance, self._reply, general, self._demo_caller, demo_fact]
        return rng.choices(sources, [0.35, 0.25, 0.2, 0.15, 0.05])[0](lang, rng)

    def _reply(self, lang: str, rng: random.Random) -> str:
        return self._from_calls(self._replies, lang, rng)

    def _demo_caller(self, lang: str, rng: random.Random) -> str:
        return self._from_calls(self._callers, lang, rng)

    def _from_calls(self, pool: dict[str, deque[str]], lang: str, rng: random.Random) -> str:
        while not pool[lang]:
            kind = corpus.demo_call if rng.random() < 0.5 else corpus.make_call
            for message in kind(lang, rng, noise=0.0).messages[1:]:
                text = message.content.split(" <tool_call>")[0]
                if message.role == "user":
                    self._callers[lang].append(text)
                elif rng.random() < 0.4:  # the voice speaks sentence by sentence
                    self._replies[lang].extend(re.split(r"(?<=[.?!؟]) ", text))
                else:
                    self._replies[lang].append(text)
        return pool[lang].popleft()

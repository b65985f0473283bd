"""How long each Piper phoneme lasts in a teacher's speech."""

import unicodedata

import numpy as np

from .teachers import Units
from .vocoder import Floats

_MARKS = set(" ,.;:?!-'\"()")
_STRESS = set("ˈˌ")
_VOWELS = set("ɑæʌɔəaɪʊɛɜeioɐɚᵻuː")
_FLITE = dict(
    pair.split("=")
    for pair in (
        "aa=ɑː ae=æ ah=ʌ ao=ɔː aw=aʊ ax=ə ay=aɪ b=b ch=tʃ d=d dh=ð eh=ɛ er=ɜː ey=eɪ f=f g=ɡ hh=h "
        "ih=ɪ iy=iː jh=dʒ k=k l=l m=m n=n ng=ŋ ow=oʊ oy=ɔɪ p=p r=ɹ s=s sh=ʃ t=t th=θ uh=ʊ uw=uː "
        "v=v w=w y=j z=z zh=ʒ pau=|"
    ).split()
)
# Sounds that one engine writes one way and the other another way.
_CLOSE = {
    frozenset(pair) for pair in "tɾ dɾ əʌ ɚɜ ɐə ᵻɪ tʔ iɪ əᵻ ɔɑ ɐʌ əɪ əɚ oɔ uʊ ɡg sz əɛ ɹɚ".split()
}
_WORST = 0.13  # mean cost per phoneme of an alignment that is still believed


def align_espeak(phonemes: list[str], units: Units) -> Floats | None:
    """Seconds of each Piper phoneme; None when the events do not match."""
    seconds = np.zeros(len(phonemes))
    at, last = 0, -1
    for name, start, end in units:
        if not name:  # a pause belongs to the punctuation, or to the sound before it
            pause = at if at < len(phonemes) and phonemes[at] in _MARKS else last
            if pause >= 0:
                seconds[pause] += end - start
            continue
        expected = list(unicodedata.normalize("NFD", name))
        while at < len(phonemes) and phonemes[at] in _MARKS:
            at += 1
        after = at + len(expected)
        if phonemes[at:after] != expected:
            return None
        while after < len(phonemes) and phonemes[after] == "ː":  # no event of its own
            after += 1
        body = [i for i in range(at, after) if phonemes[i] not in _STRESS] or [at]
        seconds[body] += (end - start) / len(body)
        last, at = body[-1], after
    if any(phoneme not in _MARKS for phoneme in phonemes[at:]):
        return None
    return seconds


def _replace_cost(sound: str, phoneme: str) -> float:
    if sound == "|" or phoneme in _MARKS:
        pause = sound == "|" and phoneme in _MARKS
        return (0.3 if phoneme == " " else 0.0) if pause else 9.0
    if sound == phoneme:
        return 0.0
    if frozenset((sound, phoneme)) in _CLOSE:
        return 0.15
    vowels = (sound in _VOWELS) + (phoneme in _VOWELS)
    return (1.0, 2.0, 0.6)[vowels]


def _skip_cost(phoneme: str) -> float:
    if phoneme in _STRESS or phoneme == " ":
        return 0.0
    return 0.3 if phoneme in _MARKS else 0.35 if phoneme == "ː" else 0.75


def align_flite(phonemes: list[str], units: Units) -> Floats | None:
    """Seconds of each Piper phoneme by the cheapest edit; None when even that is bad."""
    sounds: Units = []
    for name, start, end in units:
        letters = _FLITE[name]
        step = (end - start) / len(letters)
        for i, letter in enumerate(letters):
            sounds.append((letter, start + i * step, start + (i + 1) * step))
    rows, columns = len(sounds), len(phonemes)
    cost = np.full((rows + 1, columns + 1), 1e9)
    cost[0, 0] = 0
    choice = np.zeros((rows + 1, columns + 1), np.int64)
    extra = [1.5 if s == "|" else 0.35 if s == "ː" else 0.75 for s, _, _ in sounds]
    for i in range(rows + 1):
        for j in range(columns + 1):
            if i == j == 0:
                continue
            options = (
                cost[i - 1, j - 1] + _replace_cost(sounds[i - 1][0], phonemes[j - 1])
                if i and j
                else 1e9,
                cost[i - 1, j] + extra[i - 1] if i else 1e9,
                cost[i, j - 1] + _skip_cost(phonemes[j - 1]) if j else 1e9,
            )
            choice[i, j] = int(np.argmin(options))
            cost[i, j] = options[choice[i, j]]
    if cost[rows, columns] / columns > _WORST:
        return None
    seconds = np.zeros(columns)
    i, j = rows, columns
    while i or j:
        length = sounds[i - 1][2] - sounds[i - 1][1] if i else 0.0
        if choice[i, j] == 0:
            seconds[j - 1] += length
            i, j = i - 1, j - 1
        elif choice[i, j] == 1:  # a sound too many: its time goes to the phoneme on its left
            left = j - 1
            while left > 0 and phonemes[left] in _STRESS:
                left -= 1
            seconds[max(left, 0)] += length
            i -= 1
        else:
            j -= 1
    return seconds

"""Which language a call is held in: evidence over utterances, not the last one alone."""

from __future__ import annotations

_DECAY = 0.5
_ENOUGH = 2.0
"""Evidence, in confidently recognised words, that changes the language: two or three words."""


class LanguageTracker:
    """Pinned by the client, else what the caller has been speaking.

    A caller may switch in mid-call: a sentence in another language is enough, a one-word "ok",
    which sounds alike everywhere, is not; several of them in a row are.
    """

    def __init__(self, default: str) -> None:
        self.current = default
        self.pinned: str | None = None
        self._evidence: dict[str, float] = {}
        self._turn: int | None = None
        self._words = 0
        self._before = default, self._evidence
        """What held before the turn that was heard last, and the words that were heard in it."""

    def pin(self, language: str | None) -> None:
        """Fix the language, or None to follow the caller from now on."""
        self.pinned = language
        self._turn = None
        if language is not None:
            self.current = language

    def heard(self, language: str, probability: float, words: int, turn: int | None = None) -> None:
        """An utterance of so many words was recognised as this language.

        In the first utterance one word is enough: nothing speaks for the default. A turn that is
        recognised again counts once: by the most words that were heard of it together.
        """
        if self.pinned is not None:
            return
        if turn is None or turn != self._turn:
            self._before = self.current, self._evidence
        elif words < self._words:
            return
        self._turn, self._words = turn, words
        self.current, before = self._before
        self._evidence = {known: _DECAY * weight for known, weight in before.items()}
        weight = max(0.0, 2 * probability - 1) * min(words, 6)
        evidence = self._evidence.get(language, 0.0) + weight
        self._evidence[language] = evidence
        strong = evidence >= _ENOUGH and weight > 0
        if language != self.current and (strong or (not before and probability >= 0.6)):
            self.current = language
            # What was spoken before the switch is no reason to switch back.
            self._evidence = {language: evidence}

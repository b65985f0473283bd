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

    def pin(self, language: str | None) -> None:
        """Fix the language, or None to follow the caller from now on."""
        self.pinned = language
        if language is not None:
            self.current = language

    def heard(self, language: str, probability: float, words: int) -> None:
        """An utterance of so many words was recognised as this language.

        In the first utterance one word is enough: nothing speaks for the default.
        """
        if self.pinned is not None:
            return
        first = not self._evidence
        for known in self._evidence:
            self._evidence[known] *= _DECAY
        weight = max(0.0, 2 * probability - 1) * min(words, 6)
        self._evidence[language] = self._evidence.get(language, 0.0) + weight
        strong = self._evidence[language] >= _ENOUGH and weight > 0
        if strong or (first and probability >= 0.6):
            self.current = language

"""Cuts a growing reply into pieces worth speaking: the first one short, then whole sentences."""

from __future__ import annotations

import re

from gateway.conversation.sentences import sentence_ends

_SEEN_AHEAD = 16
"""Characters behind the longest piece that are looked at: a word there may tell that a sentence
goes on. More would be searched again for each piece of a text that comes at once."""

# A dash behind a number or "AM" is most likely a range.
_CLAUSE_END = re.compile(r"[,;:،؛]\s+|(?<!\d\s)(?<!\b[AaPp][Mm]\s)(?<!\b[AaPp]\.[Mm]\.\s)[—–]\s+")


class Chunker:
    """Text deltas in, speakable pieces out; what is left comes with ``flush``.

    Args:
        first_min_chars: shortest first piece that may end at a clause border. The first piece
            decides how soon the caller hears something, so it need not be a whole sentence.
        max_chars: longest piece; a longer sentence is cut at a clause border or at a space,
            because a sentence in synthesis cannot be stopped.
    """

    def __init__(self, first_min_chars: int = 10, max_chars: int = 160) -> None:
        self._first_min_chars = first_min_chars
        self._max_chars = max_chars
        self._text = ""
        self._first = True

    def push(self, delta: str) -> list[str]:
        """Add text; return the pieces that are complete, in order."""
        self._text += delta
        pieces = []
        while (end := self._border()) is not None:
            piece, self._text = self._text[:end].strip(), self._text[end:]
            if piece:  # a reply may begin with an empty line
                pieces.append(piece)
                self._first = False
        return pieces

    def take_back(self, count: int) -> None:
        """Forget so many characters at the end (none if negative), as far as no piece has them."""
        self._text = self._text[: max(0, len(self._text) - max(0, count))]

    def flush(self) -> list[str]:
        """The rest of the reply, in pieces of bounded length."""
        pieces = self.push("")
        rest, self._text = self._text.strip(), ""
        return [*pieces, rest] if rest else pieces

    def _border(self) -> int | None:
        """Where the next piece ends, or None while it is still growing."""
        head = self._text[: self._max_chars + _SEEN_AHEAD]
        if (end := next(sentence_ends(head), None)) is not None:
            return min(end.end(), self._cut_long(end.end()))
        if self._first:
            for match in _CLAUSE_END.finditer(head[: self._max_chars]):
                if match.start() >= self._first_min_chars:
                    return match.end()
        return self._cut_long(len(self._text)) if len(self._text) > self._max_chars else None

    def _cut_long(self, end: int) -> int:
        if end <= self._max_chars:
            return end
        head = self._text[: self._max_chars]
        clauses = [match.end() for match in _CLAUSE_END.finditer(head)]
        return clauses[-1] if clauses else (head.rfind(" ") + 1 or self._max_chars)

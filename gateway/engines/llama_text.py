"""Token bytes to reply text: whole characters only, ended by stop strings."""

from __future__ import annotations

import codecs


class TextAssembler:
    """Joins the bytes of successive tokens into text that may be shown.

    Bytes of an unfinished UTF-8 character are held until it is whole, and text that may be the
    beginning of a stop string is held until that is decided.

    Args:
        stop: strings that end the reply; none of them is part of it.

    Attributes:
        stopped: a stop string was found; nothing more comes.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self.stopped = False
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, piece: bytes) -> str:
        """Add one token; return the text that is now certain, often empty."""
        if self.stopped:
            return ""
        text = self._held + self._decoder.decode(piece)
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        undecided = self._undecided(text)
        certain = len(text) - undecided
        self._held = text[certain:]
        return text[:certain]

    def finish(self) -> str:
        """Return what was held for a stop string that never came; cut characters are dropped."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """Length of the longest end of ``text`` that begins a stop string."""
        longest = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest

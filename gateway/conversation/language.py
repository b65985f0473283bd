"""Which language a call is held in."""

from __future__ import annotations


class LanguageTracker:
    """Pinned by the client, else that of the caller's last words, else the default."""

    def __init__(self, default: str) -> None:
        self.current = default
        self.pinned: str | None = None

    def pin(self, language: str | None) -> None:
        """Fix the language, or None to follow the caller from now on."""
        self.pinned = language
        if language is not None:
            self.current = language

    def heard(self, language: str, probability: float) -> None:
        """A transcript came in this language; unlikely detections change nothing."""
        if self.pinned is None and probability >= 0.5:
            self.current = language

"""Takes out of what a chat model writes what is for the eye alone."""

from __future__ import annotations

import re

_LINK = re.compile(r"!?\[([^\[\]]+)\]\([^()\s]*\)")
_TAG = re.compile(r"<(?!https?:)[/|]?[A-Za-z][^<>\n]*>")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}|[-*•>])\s+")
# Not between digits, where a star multiplies, nor inside a word (an address has underscores).
_EMPHASIS = re.compile(r"(?<!\d)\*+|\*+(?!\d)|(?<![^\W_])_+|_+(?![^\W_])|~~|`")
_CELL_BORDER = re.compile(r"\s*\|\s*")
_TATWEEL = "\u0640"
_FULL_WIDTH = {0x3000: " "} | {0xFEE0 + sign: chr(sign) for sign in range(0x21, 0x7F)}


def plain(line: str) -> str:
    """A line of a reply, or a part of one, without marks of Markdown and HTML.

    Of a link its words are left, of a row of a table its cells with commas between them; wide
    forms of Latin characters become the usual ones, and Arabic words are not drawn out.
    """
    line = line.replace(_TATWEEL, "").translate(_FULL_WIDTH)
    line = _LINE_MARK.sub("", _TAG.sub(" ", _LINK.sub(r"\1", line)))
    line = _CELL_BORDER.sub(", ", _EMPHASIS.sub("", line).strip("| \t"))
    return " ".join(line.split())

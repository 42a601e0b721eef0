"""The width of text on a terminal, from Python's own Unicode data."""

from __future__ import annotations

import unicodedata

_ZERO_WIDTH_JOINER, _EMOJI_PRESENTATION = "\u200d", "\ufe0f"
# Combining marks, format and control characters.
_ZERO_WIDTH_CATEGORIES = frozenset(("Mn", "Mc", "Me", "Cf", "Cc"))
# Hangul vowels and final consonants, and skin tones. They are drawn in the cells of the character
# before.
_MODIFIERS = (("\u1160", "\u11ff"), ("\U0001f3fb", "\U0001f3ff"))


def cell_width(text: str) -> int:
    """Returns how many terminal cells a text takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    width = last = 0
    is_joined = False
    for char in text:
        if is_joined:
            # A joined emoji is drawn in the cells of the one before.
            is_joined = False
        elif char == _ZERO_WIDTH_JOINER:
            is_joined = True
        elif char == _EMOJI_PRESENTATION:
            # Turns a narrow symbol into an emoji, which is wide.
            width += last == 1
            last = 0
        elif char_width := _char_width(char):
            width += char_width
            last = char_width
    return width


def _char_width(char: str) -> int:
    if unicodedata.category(char) in _ZERO_WIDTH_CATEGORIES or any(first <= char <= last for first, last in _MODIFIERS):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1

"""The text of session strings: base64 of either alphabet, which may have been pasted."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from .._core import string_letters
from .session import ConversionError

# No library's string has half as many characters, of which pasting may add some.
_MAX_TEXT = 20_000
_MAX_LETTERS = 2_000


def letters_of(text: str) -> str:
    """Returns the base64 characters of a text, in the URL-safe alphabet and without padding. Leaves
    out what pasting adds: white space, quotes and characters of zero width.

    Raises:
        ConversionError: The text is empty, too long, or something else. The message does not
            contain it.
    """
    if len(text) > _MAX_TEXT:
        raise ConversionError("it is too long for a session string")
    try:
        letters = string_letters(text)
    except ValueError as error:
        raise ConversionError(str(error).partition(": ")[2]) from error
    if not letters:
        raise ConversionError("it is empty")
    if len(letters) > _MAX_LETTERS:
        raise ConversionError("it is too long for a session string")
    return letters


def decode(letters: str) -> bytes:
    """Returns what base64 characters encode.

    Raises:
        ConversionError: Some are missing or too many, or the last one has bits that no encoder
            sets.
    """
    over = len(letters) % 4
    data = b"" if over == 1 else urlsafe_b64decode(letters + "=" * (-over % 4))
    if over == 1 or encode(data) != letters:
        raise ConversionError("a character is missing, too many, or wrong (was all of it copied?)")
    return data


def encode(data: bytes) -> str:
    """Returns URL-safe base64 without padding."""
    return urlsafe_b64encode(data).decode().rstrip("=")

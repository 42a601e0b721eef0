"""Recognizes the session strings of all libraries by their content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from . import gramjs_string, mtcute_string, mtkruto_string, pyrogram_string, telethon_string
from .letters import decode, letters_of
from .session import ConversionError, ForeignSession

_T = TypeVar("_T", bytes, str)

# Of the base64 characters: no library writes more.
_LONGEST = 700
# What Telethon's strings decode to without their first character.
_TELETHON_SIZES = (263, 275)

# In this order: some strings of MTKruto are as long as Pyrogram's.
_MODULES = (mtkruto_string, mtcute_string, pyrogram_string)
_LIBRARIES = "Telethon, Pyrogram, Kurigram, GramJS, mtcute and MTKruto"


def read_string(text: str) -> ForeignSession:
    """Reads a session string of any library. White space, line breaks and quotes around or inside
    it do not matter.

    Raises:
        ConversionError: It is not a login. The message does not contain it.
    """
    try:
        letters = letters_of(text)
        if letters.startswith(gramjs_string.VERSION):
            return _read_version_1(text, letters[1:])
        data = decode(letters)
    except ConversionError as error:
        raise ConversionError(f"not a valid session string: {error}") from error
    for module in _MODULES:
        if module.matches(data):
            return _named(module.LIBRARY, module.read, data)
    if len(data) in _TELETHON_SIZES:
        return _named(telethon_string.LIBRARY, telethon_string.read, text)
    raise ConversionError(
        f"not a valid session string of {_LIBRARIES}: none of them writes {len(letters)} characters with this content"
        " (was all of it copied?)"
    )


def is_incomplete(text: str) -> bool:
    """Returns `True` if a text may be the beginning of a session string."""
    try:
        letters = letters_of(text)
    except ConversionError:
        return False
    try:
        read_string(text)
    except ConversionError:
        # Padding ends a string.
        return len(letters) < _LONGEST and "=" not in text
    return False


def _read_version_1(text: str, letters: str) -> ForeignSession:
    """Reads a string that begins with 1, as those of GramJS and Telethon do."""
    try:
        data = decode(letters)
    except ConversionError:
        data = decode(letters[: len(letters) // 4 * 4])
    if gramjs_string.matches(data):
        return _named(gramjs_string.LIBRARY, lambda letters: gramjs_string.read(decode(letters)), letters)
    return _named(telethon_string.LIBRARY, telethon_string.read, text)


def _named(library: str, read: Callable[[_T], ForeignSession], value: _T) -> ForeignSession:
    try:
        return read(value)
    except ConversionError as error:
        raise ConversionError(f"not a valid {library} string: {error}") from error


class StringFormat(NamedTuple):
    """How to write a library's strings.

    Attributes:
        library: Its name.
        needed: The attributes of a `ForeignSession` that must be known.
        write: Returns the string.
    """

    library: str
    needed: tuple[str, ...]
    write: Callable[[ForeignSession], str]


FORMATS: Mapping[str, StringFormat] = {
    name: StringFormat(module.LIBRARY, module.NEEDED, module.write)
    for name, module in (
        ("gramjs", gramjs_string),
        ("mtcute", mtcute_string),
        ("mtkruto", mtkruto_string),
        ("pyrogram", pyrogram_string),
    )
}
"""The strings that can be written, by the names that commands use."""

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
        is_version_1 = letters.startswith(gramjs_string.VERSION)
        data = _decode_version_1(letters[1:]) if is_version_1 else decode(letters)
    except ConversionError as error:
        raise ConversionError(f"not a valid session string: {error}") from error
    if is_version_1:
        # GramJS and Telethon write this version.
        if gramjs_string.matches(data):
            return _named(gramjs_string.LIBRARY, lambda letters: gramjs_string.read(decode(letters)), letters[1:])
        return _named(telethon_string.LIBRARY, telethon_string.read, text)
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


def _decode_version_1(letters: str) -> bytes:
    """Returns what a string encodes that begins with 1, as far as it can be decoded."""
    try:
        return decode(letters)
    except ConversionError:
        return decode(letters[: len(letters) // 4 * 4])


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
        used: The attributes that a string has besides the data centre and the key.
        write: Returns the string.
    """

    library: str
    needed: tuple[str, ...]
    used: tuple[str, ...]
    write: Callable[[ForeignSession], str]


FORMATS: Mapping[str, StringFormat] = {
    name: StringFormat(module.LIBRARY, module.NEEDED, module.USED, module.write)
    for name, module in (
        ("gramjs", gramjs_string),
        ("mtcute", mtcute_string),
        ("mtkruto", mtkruto_string),
        ("pyrogram", pyrogram_string),
    )
}
"""The strings that can be written, by the names that commands use."""

"""Reads values that TL encodes, as strictly as they are written: nothing is left over or skipped."""

from __future__ import annotations

from typing import Literal

from .session import ConversionError

# The constructors of `Bool`.
_TRUE, _FALSE = 0x997275B5, 0xBC799737
# The first byte of a length that has three more.
_LONG = 254


def encoded_boolean(value: bool) -> bytes:
    """Returns a `Bool`."""
    return (_TRUE if value else _FALSE).to_bytes(4, "little")


class TLValues:
    """A position in bytes that TL encodes. Each method reads a value.

    Raises:
        ConversionError: A method finds that the value is incomplete, or something else.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Returns the next bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ConversionError("it is incomplete (was all of it copied?)")
        self._at += size
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self, size: Literal[4, 8] = 4) -> int:
        """Returns a signed number."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def constructor(self) -> int:
        """Returns the number of a constructor."""
        return int.from_bytes(self.take(4), "little")

    def boolean(self) -> bool:
        constructor = self.constructor()
        if constructor not in (_TRUE, _FALSE):
            raise ConversionError("it has something else where yes or no is expected")
        return constructor == _TRUE

    def flag(self) -> bool:
        """Returns a byte that is 0 or 1."""
        value = self.byte()
        if value > 1:
            raise ConversionError("it has something else where yes or no is expected")
        return bool(value)

    def string(self) -> bytes:
        """Returns bytes that follow their length, and skips the zeros that fill them up."""
        length = self.byte()
        head = 1
        if length == _LONG:
            length, head = int.from_bytes(self.take(3), "little"), 4
        elif length > _LONG:
            raise ConversionError("it has a length that is not valid")
        value = self.take(length)
        if any(self.take(-(head + length) % 4)):
            raise ConversionError("it has something else where zeros are expected")
        return value

    def text(self) -> str:
        """Returns a string that is ASCII."""
        try:
            return self.string().decode("ascii")
        except UnicodeDecodeError as error:
            raise ConversionError("it has something else where a text is expected") from error

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def end(self) -> None:
        """Checks that nothing is left."""
        if not self.is_at_end:
            raise ConversionError("it goes on after its end (were two strings pasted?)")

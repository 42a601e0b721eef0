"""Small helps around the TL types of whichever Telethon release is installed."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import cache
from typing import Any

from telethon.extensions import BinaryReader
from telethon.tl import TLObject
from telethon.tl.core import GzipPacked

VECTOR = 0x1CB5C415
BOOL_TRUE = struct.pack("<I", 0x997275B5)
BOOL_FALSE = struct.pack("<I", 0xBC799737)


@cache
def _fields_of(cls: type) -> frozenset[str]:
    return frozenset(inspect.signature(cls.__init__).parameters)


def build(cls: type, **fields: Any) -> Any:
    """Make a `cls` from those of the fields that the installed release's class knows.

    Constructors gain and lose fields from layer to layer; the caller names the fields of all of them.
    """
    known = _fields_of(cls)
    return cls(**{name: value for name, value in fields.items() if name in known})


def vector(items: Iterable[Any]) -> bytes:
    """Serialise a boxed vector of TL objects."""
    parts = [item._bytes() for item in items]
    return struct.pack("<Ii", VECTOR, len(parts)) + b"".join(parts)


def serialize(result: Any) -> bytes:
    """Serialise what a method answers with: an object, a vector of them, or a Bool."""
    if result is True:
        return BOOL_TRUE
    if result is False:
        return BOOL_FALSE
    if isinstance(result, list):
        return vector(result)
    return result._bytes()


def read(data: bytes) -> Any:
    """Read one TL object; whatever follows it (padding) is left alone."""
    with BinaryReader(data) as reader:
        return reader.tgread_object()


def unzip(obj: Any) -> Any:
    """The object inside a gzip_packed, or the object itself."""
    return read(obj.data) if isinstance(obj, GzipPacked) else obj


def to_datetime(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def to_seconds(date: datetime | None) -> int:
    """The Unix time of a date read off the wire; an absent one is 0 there."""
    return int(date.timestamp()) if date else 0


class Serialized(TLObject):
    """TL bytes that stand where an object is expected, so that they are made only once."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _bytes(self) -> bytes:
        return self.data

"""Helpers for the TL types of the installed Telethon release."""

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
    """Creates a `cls` from the fields that the installed release's class has, and ignores the
    others.

    Constructors gain and lose fields from layer to layer. The caller passes the fields of all
    layers.
    """
    known = _fields_of(cls)
    return cls(**{name: value for name, value in fields.items() if name in known})


def vector(items: Iterable[Any]) -> bytes:
    """Serialises a boxed vector of TL objects."""
    parts = [item._bytes() for item in items]
    return struct.pack("<Ii", VECTOR, len(parts)) + b"".join(parts)


def serialize(result: Any) -> bytes:
    """Serialises a method's result: an object, a vector of objects, or a Bool."""
    if result is True:
        return BOOL_TRUE
    if result is False:
        return BOOL_FALSE
    if isinstance(result, list):
        return vector(result)
    return result._bytes()


def read(data: bytes) -> Any:
    """Reads a TL object, and ignores the padding after it."""
    with BinaryReader(data) as reader:
        return reader.tgread_object()


def unzip(obj: Any) -> Any:
    """Returns the object inside a gzip_packed, or the object itself."""
    return read(obj.data) if isinstance(obj, GzipPacked) else obj


def to_datetime(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def to_seconds(date: datetime | None) -> int:
    """Returns the Unix time of a received date, or 0 if it is absent."""
    return int(date.timestamp()) if date else 0


class Serialized(TLObject):
    """Serialised TL bytes in place of an object, so that it is serialised only once."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _bytes(self) -> bytes:
        return self.data

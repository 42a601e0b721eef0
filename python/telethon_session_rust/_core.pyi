"""The extension. The classes of the package are made of these; use those."""

from collections.abc import Awaitable, Iterable
from os import PathLike
from typing import Any, Self, TypeAlias, final

__all__ = ["MemoryCore", "SQLiteCore", "decode_base64", "encode_base64", "pack_login", "unpack_login"]

EntityRow: TypeAlias = tuple[int, int | None, str | None, str | None, str | None]

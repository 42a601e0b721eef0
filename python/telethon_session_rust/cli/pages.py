"""The rows on the pages of a damaged database, read without SQLite, which gives up where a tree of pages is broken.

Each page is read by itself (https://sqlite.org/fileformat2.html), so what is wrong with one is no other's loss. Which
table a row belongs to is told by its values.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from .reading import text

_HEADER = 100
_INDEX_NODE, _TABLE_NODE, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_NODES = (_INDEX_NODE, _TABLE_NODE)
_KINDS = (_INDEX_NODE, _TABLE_NODE, _INDEX_LEAF, _TABLE_LEAF)
# What a page may have, the usual ones first: of SQLite today and before 2016.
_SIZES = (4096, 1024, 512, 2048, 8192, 16384, 32768, 65536)
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
# What a broken row raises.
_BROKEN = (IndexError, ValueError, struct.error)
# More than a row of short columns has beside its blob.
_LONG = 200
_REAL, _ZERO, _ONE, _FIRST_TEXT = 7, 8, 9, 12


class Pages:
    """The pages of a file, of which any may be wrong, and the header too."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        told = int.from_bytes(data[16:18], "big")
        told = 65536 if told == 1 else told
        sizes = sorted(_SIZES, key=lambda size: size != told)
        # With the right one most pages make sense.
        self.size = max(sizes, key=self._trees)
        reserved = data[20] if len(data) > 20 and data[20] <= self.size - 480 else 0
        self._usable = self.size - reserved
        self.count: int = -(-len(data) // self.size)
        # Rows whose page is there and which cannot be read.
        self.broken_rows: int = 0

    @property
    def missing(self) -> int:
        """How many pages the file had, by its header, and has no more."""
        told = int.from_bytes(self._data[28:32], "big")
        # A file of so much more than there is was never there.
        return max(told - self.count, 0) if told <= 2**16 + 100 * self.count else 0

    @property
    def unreadable(self) -> int:
        """How many pages are part of a table and hold no rows."""
        return sum(
            self._kind(child) not in (_TABLE_NODE, _TABLE_LEAF)
            for number in range(1, self.count + 1)
            if self._kind(number) == _TABLE_NODE
            for child in self._children(number)
            if child <= self.count
        )

    def rows(self, done: Callable[[int], None]) -> Iterator[list[Any]]:
        """The values of all rows, of whatever table, with the row's number in the place of its key."""
        for number in range(1, self.count + 1):
            kind = self._kind(number)
            if kind in _KINDS and kind != _TABLE_NODE:
                yield from self._rows_of(number, kind)
            done(1)

    def with_blobs_of(self, size: int, column: int) -> Iterator[list[Any]]:
        """The values of what looks like a row that has a blob of so many bytes in that column, also where a page no
        longer tells where its rows are. The columns before it are short ones.
        """
        for match in re.finditer(re.escape(_as_varint(_FIRST_TEXT + 2 * size)), self._data):
            # A row begins with the length of its head and the types of its columns, and before it is its number.
            at = match.start() - column - 1
            with contextlib.suppress(*_BROKEN):
                values = _record(self._data[at : at + size + _LONG])
                if values[0] is None:
                    values[0] = self._data[at - 1]
                yield values

    def _rows_of(self, number: int, kind: int) -> Iterator[list[Any]]:
        page = self._page(number)
        for start in self._cells(number, kind):
            try:
                yield self._row(page, start, kind)
            except _BROKEN:
                # In an index there is nothing that its table has not; the first page describes the tables.
                self.broken_rows += kind == _TABLE_LEAF and number != 1

    def _row(self, page: bytes, at: int, kind: int) -> list[Any]:
        if kind == _INDEX_NODE:
            at += 4
        length, at = _varint(page, at)
        row_number = None
        if kind == _TABLE_LEAF:
            row_number, at = _varint(page, at)
            row_number -= 2**64 if row_number >= 2**63 else 0
        values = _record(self._payload(page, at, length, kind))
        if values and values[0] is None:
            values[0] = row_number
        return values

    def _payload(self, page: bytes, at: int, length: int, kind: int) -> bytes:
        """Of a row that is too long for its page the rest is on others, each of which tells the next."""
        usable = self._usable
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return _slice(page, at, length)
        least = (usable - 12) * 32 // 255 - 23
        here = least + (length - least) % (usable - 4)
        here = here if here <= most else least
        if length > len(self._data):
            raise ValueError("longer than the file")
        parts, left = [_slice(page, at, here)], length - here
        (number,) = struct.unpack_from(">I", page, at + here)
        while left > 0:
            page = self._page(number)
            parts.append(_slice(page, 4, min(left, usable - 4)))
            left -= len(parts[-1])
            (number,) = struct.unpack_from(">I", page)
        return b"".join(parts)

    def _children(self, number: int) -> Iterator[int]:
        page, at = self._page(number), self._first(number)
        for start in (*self._cells(number, _TABLE_NODE), at + 8):
            if start + 4 <= len(page):
                yield int.from_bytes(page[start : start + 4], "big")

    def _cells(self, number: int, kind: int) -> Iterator[int]:
        """Where on its page each begins."""
        page, at = self._page(number), self._first(number)
        count = int.from_bytes(page[at + 3 : at + 5], "big")
        pointers = at + (12 if kind in _NODES else 8)
        for pointer in range(pointers, min(pointers + 2 * count, len(page) - 1), 2):
            yield int.from_bytes(page[pointer : pointer + 2], "big")

    def _page(self, number: int) -> bytes:
        if not 1 <= number <= self.count:
            raise ValueError("no such page")
        return self._data[(number - 1) * self.size : number * self.size]

    def _kind(self, number: int) -> int | None:
        at = (number - 1) * self.size + self._first(number)
        return self._data[at] if 0 <= at < len(self._data) else None

    @staticmethod
    def _first(number: int) -> int:
        return _HEADER if number == 1 else 0

    def _trees(self, size: int) -> int:
        """How many pages of trees there would be if they had this size."""
        return sum(_is_tree(self._data[at : at + size], size) for at in range(size, len(self._data), size))


def _is_tree(page: bytes, size: int) -> bool:
    """Whether the page is laid out as one: its cells, of which the first was put at its end, and pointers to them."""
    if len(page) < 8 or page[0] not in _KINDS:
        return False
    cells, content = (int.from_bytes(page[at : at + 2], "big") for at in (3, 5))
    content = content or 65536
    pointers = 12 if page[0] in _NODES else 8
    if not pointers + 2 * cells <= content <= min(size, len(page)):
        return False
    starts = [int.from_bytes(page[at : at + 2], "big") for at in range(pointers, pointers + 2 * cells, 2)]
    return content == size if not starts else content <= min(starts) and size // 2 <= max(starts) < size


def _record(payload: bytes) -> list[Any]:
    head, at = _varint(payload, 0)
    types = []
    while at < head:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Any] = []
    for kind in types:
        value, at = _value(payload, at, kind)
        values.append(value)
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == 0:
        return None, at
    if kind in _INTEGERS:
        data = _slice(payload, at, _INTEGERS[kind])
        return int.from_bytes(data, "big", signed=True), at + len(data)
    if kind == _REAL:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if kind in (_ZERO, _ONE):
        return kind - _ZERO, at
    if kind < _FIRST_TEXT:
        raise ValueError("no such type")
    data = _slice(payload, at, (kind - _FIRST_TEXT) // 2)
    return (text(data) if kind % 2 else data), at + len(data)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of SQLite's, and where the next thing begins."""
    number = 0
    for length in range(8):
        byte = data[at + length]
        number = number << 7 | byte & 127
        if byte < 128:
            return number, at + length + 1
    return number << 8 | data[at + 8], at + 9


def _as_varint(number: int) -> bytes:
    """Of a number of two bytes."""
    return bytes([number >> 7 | 128, number & 127])


def _slice(data: bytes, at: int, length: int) -> bytes:
    part = data[at : at + length]
    if len(part) != length:
        raise ValueError("cut off")
    return part

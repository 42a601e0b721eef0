"""Reads the rows of a damaged database page by page, without SQLite, which stops where a B-tree is
damaged.

Each page is parsed by itself (https://sqlite.org/fileformat2.html), so damage to one page does not
affect the others. The pages do not say which table a row belongs to; its values do.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from .rows import decode_text

_FILE_HEADER_SIZE = 100
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_INTERIOR = (_INDEX_INTERIOR, _TABLE_INTERIOR)
_PAGE_TYPES = (_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF)
# The most common first: the defaults of SQLite since 2016 and before.
_PAGE_SIZES = (4096, 1024, 512, 2048, 8192, 16384, 32768, 65536)
# The sizes of integers by serial type, and the other serial types.
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_REAL, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12
# What parsing a damaged record raises.
_PARSE_ERRORS = (IndexError, ValueError, struct.error)
# An upper bound for the size of a record without its blob, if its other columns are short.
_MAX_REST = 200


class Pages:
    """The pages of a file. Any of them may be damaged, and so may the file header."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        declared = int.from_bytes(data[16:18], "big")
        declared = 65536 if declared == 1 else declared
        sizes = sorted(_PAGE_SIZES, key=lambda size: size != declared)
        # The correct size makes the most pages valid.
        self.size = max(sizes, key=self._count_btree_pages)
        reserved = data[20] if len(data) > 20 and data[20] <= self.size - 480 else 0
        self._usable = self.size - reserved
        self.count: int = -(-len(data) // self.size)
        # Rows that cannot be parsed, on pages that can.
        self.damaged_rows: int = 0

    @property
    def missing(self) -> int:
        """The number of pages that the file header declares and the file lacks."""
        declared = int.from_bytes(self._data[28:32], "big")
        # A number that is far too large is damage to the header.
        return max(declared - self.count, 0) if declared <= 2**16 + 100 * self.count else 0

    @property
    def unreadable(self) -> int:
        """The number of pages that belong to a table but are not valid."""
        return sum(
            self._page_type(child) not in (_TABLE_INTERIOR, _TABLE_LEAF)
            for number in range(1, self.count + 1)
            if self._page_type(number) == _TABLE_INTERIOR
            for child in self._children(number)
            if child <= self.count
        )

    def rows(self, advance: Callable[[int], None]) -> Iterator[list[Any]]:
        """Yields the values of all rows of all tables. A row ID takes the place of an integer
        primary key.

        Args:
            advance: Called with the number of pages read since the last call.
        """
        for number in range(1, self.count + 1):
            kind = self._page_type(number)
            if kind in _PAGE_TYPES and kind != _TABLE_INTERIOR:
                yield from self._rows_on(number, kind)
            advance(1)

    def rows_with_blob(self, size: int, column: int) -> Iterator[list[Any]]:
        """Yields the values of whatever looks like a row with a blob of this size in this column.

        Searches the whole file, so it finds rows on pages whose list of rows is damaged. The
        columns before the blob must be short.
        """
        for match in re.finditer(re.escape(_two_byte_varint(_FIRST_BLOB + 2 * size)), self._data):
            # A record begins with the size of its header and the types of its columns. Before it is
            # the row ID.
            at = match.start() - column - 1
            with contextlib.suppress(*_PARSE_ERRORS):
                values = _parse_record(self._data[at : at + size + _MAX_REST])
                if values[0] is None:
                    values[0] = self._data[at - 1]
                yield values

    def _rows_on(self, number: int, kind: int) -> Iterator[list[Any]]:
        page = self._page(number)
        for start in self._cell_offsets(number, kind):
            try:
                yield self._row(page, start, kind)
            except _PARSE_ERRORS:
                # An index only repeats values of its table, and the first page contains the schema.
                self.damaged_rows += kind == _TABLE_LEAF and number != 1

    def _row(self, page: bytes, at: int, kind: int) -> list[Any]:
        if kind == _INDEX_INTERIOR:
            at += 4
        length, at = _parse_varint(page, at)
        row_id = None
        if kind == _TABLE_LEAF:
            row_id, at = _parse_varint(page, at)
            row_id -= 2**64 if row_id >= 2**63 else 0
        values = _parse_record(self._payload(page, at, length, kind))
        if values and values[0] is None:
            values[0] = row_id
        return values

    def _payload(self, page: bytes, at: int, length: int, kind: int) -> bytes:
        """Returns the payload of a cell, including the part on overflow pages."""
        usable = self._usable
        max_local = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if length <= max_local:
            return _slice(page, at, length)
        min_local = (usable - 12) * 32 // 255 - 23
        local = min_local + (length - min_local) % (usable - 4)
        local = local if local <= max_local else min_local
        if length > len(self._data):
            raise ValueError("longer than the file")
        parts, remaining = [_slice(page, at, local)], length - local
        (number,) = struct.unpack_from(">I", page, at + local)
        while remaining > 0:
            page = self._page(number)
            parts.append(_slice(page, 4, min(remaining, usable - 4)))
            remaining -= len(parts[-1])
            (number,) = struct.unpack_from(">I", page)
        return b"".join(parts)

    def _children(self, number: int) -> Iterator[int]:
        """Yields the numbers of the child pages of an interior page."""
        page, at = self._page(number), self._header_offset(number)
        for start in (*self._cell_offsets(number, _TABLE_INTERIOR), at + 8):
            if start + 4 <= len(page):
                yield int.from_bytes(page[start : start + 4], "big")

    def _cell_offsets(self, number: int, kind: int) -> Iterator[int]:
        """Yields the offsets of the cells of a page."""
        page, at = self._page(number), self._header_offset(number)
        count = int.from_bytes(page[at + 3 : at + 5], "big")
        pointers = at + (12 if kind in _INTERIOR else 8)
        for pointer in range(pointers, min(pointers + 2 * count, len(page) - 1), 2):
            yield int.from_bytes(page[pointer : pointer + 2], "big")

    def _page(self, number: int) -> bytes:
        if not 1 <= number <= self.count:
            raise ValueError("no such page")
        return self._data[(number - 1) * self.size : number * self.size]

    def _page_type(self, number: int) -> int | None:
        at = (number - 1) * self.size + self._header_offset(number)
        return self._data[at] if 0 <= at < len(self._data) else None

    @staticmethod
    def _header_offset(number: int) -> int:
        return _FILE_HEADER_SIZE if number == 1 else 0

    def _count_btree_pages(self, size: int) -> int:
        """Counts the valid B-tree pages, assuming a page size."""
        return sum(_is_btree_page(self._data[at : at + size], size) for at in range(size, len(self._data), size))


def _is_btree_page(page: bytes, size: int) -> bool:
    """Returns `True` if the page looks like a B-tree page: pointers to cells, which fill it from
    its end.
    """
    if len(page) < 8 or page[0] not in _PAGE_TYPES:
        return False
    cells, content = (int.from_bytes(page[at : at + 2], "big") for at in (3, 5))
    content = content or 65536
    pointers = 12 if page[0] in _INTERIOR else 8
    if not pointers + 2 * cells <= content <= min(size, len(page)):
        return False
    starts = [int.from_bytes(page[at : at + 2], "big") for at in range(pointers, pointers + 2 * cells, 2)]
    return content == size if not starts else content <= min(starts) and size // 2 <= max(starts) < size


def _parse_record(payload: bytes) -> list[Any]:
    head, at = _parse_varint(payload, 0)
    types = []
    while at < head:
        kind, at = _parse_varint(payload, at)
        types.append(kind)
    values: list[Any] = []
    for kind in types:
        value, at = _parse_value(payload, at, kind)
        values.append(value)
    return values


def _parse_value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == 0:
        return None, at
    if kind in _INTEGER_SIZES:
        data = _slice(payload, at, _INTEGER_SIZES[kind])
        return int.from_bytes(data, "big", signed=True), at + len(data)
    if kind == _REAL:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if kind in (_ZERO, _ONE):
        return kind - _ZERO, at
    if kind < _FIRST_BLOB:
        raise ValueError("not a valid serial type")
    data = _slice(payload, at, (kind - _FIRST_BLOB) // 2)
    return (decode_text(data) if kind % 2 else data), at + len(data)


def _parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns a variable-length integer and the offset after it."""
    number = 0
    for length in range(8):
        byte = data[at + length]
        number = number << 7 | byte & 127
        if byte < 128:
            return number, at + length + 1
    return number << 8 | data[at + 8], at + 9


def _two_byte_varint(number: int) -> bytes:
    return bytes([number >> 7 | 128, number & 127])


def _slice(data: bytes, at: int, length: int) -> bytes:
    part = data[at : at + length]
    if len(part) != length:
        raise ValueError("truncated")
    return part

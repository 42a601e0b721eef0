"""Reads a session file: as rows, and as bytes without those that hold no data."""

from __future__ import annotations

import functools
import multiprocessing
import sqlite3
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

HEADER = 100
LEAVES = (0x0A, 0x0D)
INTERIORS = (0x02, 0x05)


def on_disk(table: str = "entities", path: str = "anna.session") -> list[Any]:
    """Returns the rows of a table, read by another process because the session may be writing.

    Python's SQLite and ours are two copies, which in one process do not see each other's locks.
    """
    return _another_process().submit(_rows, table, Path(path).absolute()).result()


@functools.cache
def _another_process() -> Executor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _rows(table: str, path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"select * from {table}").fetchall()


def dump(path: str | Path) -> dict[str, list[Any]]:
    """Returns the schema, all rows with the types that SQLite stored, and the settings in the
    header.
    """
    with closing(sqlite3.connect(path)) as file:
        rows = {"schema": file.execute("select type, name, tbl_name, sql from sqlite_master").fetchall()}
        for (table,) in file.execute("select name from sqlite_master where type = 'table'").fetchall():
            rows[table] = sorted(file.execute(f"select * from {table}").fetchall(), key=repr)
        for pragma in ("user_version", "application_id", "encoding", "auto_vacuum", "page_size", "schema_version"):
            rows[pragma] = file.execute(f"pragma {pragma}").fetchall()
        assert file.execute("pragma integrity_check").fetchall() == [("ok",)]
    return rows


def vacuumed(path: str | Path) -> bytes:
    """Returns the file's bytes after `vacuum`, which do not depend on the order of the writes."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("vacuum")
    return normalised(path)


def normalised(path: str | Path) -> bytes:
    """Returns the file's bytes, with zeros for SQLite's version and change counters and wherever
    there is no data.

    There is no data in the unallocated middle of a b-tree page, in its free blocks, and in free
    pages. Which bytes of deleted rows are left there depends on how SQLite was compiled.
    """
    data = bytearray(Path(path).read_bytes())
    size = int.from_bytes(data[16:18], "big")
    data[24:28] = bytes(4)
    data[92:100] = bytes(8)
    free = _free_pages(data, size)
    for number in range(1, len(data) // size + 1):
        page = memoryview(data)[(number - 1) * size : number * size]
        if number in free:
            page[free[number] :] = bytes(size - free[number])
        else:
            _clear_unused(page, HEADER if number == 1 else 0)
    return bytes(data)


def _clear_unused(page: memoryview, header: int) -> None:
    def number(at: int) -> int:
        return int.from_bytes(page[at : at + 2], "big")

    kind = page[header]
    if kind not in (*LEAVES, *INTERIORS):
        return  # An overflow page.
    free_block, cells, content = (number(header + at) for at in (1, 3, 5))
    pointers_end = header + (8 if kind in LEAVES else 12) + 2 * cells
    content = content or 65536
    page[pointers_end:content] = bytes(content - pointers_end)
    while free_block:
        # The first four bytes are the next block and the length of this one.
        length = number(free_block + 2)
        page[free_block + 4 : free_block + length] = bytes(length - 4)
        free_block = number(free_block)


def _free_pages(data: bytearray, size: int) -> dict[int, int]:
    """Returns the number of each free page, and the offset at which its unused part starts."""

    def number(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "big")

    free = {}
    trunk = number(32)
    while trunk:
        start = (trunk - 1) * size
        leaves = number(start + 4)
        free[trunk] = 8 + 4 * leaves
        free.update((number(start + 8 + 4 * leaf), 0) for leaf in range(leaves))
        trunk = number(start)
    return free


def try_to_switch(file: sqlite3.Connection, mode: str) -> None:
    """Switches a file to a journal mode, unless another connection has it open in WAL mode."""
    try:
        file.execute(f"pragma journal_mode = {mode}").fetchall()
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)

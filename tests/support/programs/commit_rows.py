"""Commits a row to a session file for each ID on standard input, in one of SQLite's modes, and prints
the ID once it has.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

path, mode = sys.argv[1:]


def commit(file: sqlite3.Connection, id: int) -> None:
    with file:
        file.execute("insert into entities values (?, ?, ?, ?, ?, 1)", (id, id, f"user{id}", id, f"Anna {id}"))


def connect() -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=60)
    file.execute(f"pragma locking_mode = {mode}" if mode == "exclusive" else f"pragma journal_mode = {mode}")
    return file


with closing(connect()) as kept:
    for line in sys.stdin:
        if mode == "exclusive":
            # Such a connection keeps the file locked until it is closed.
            with closing(connect()) as file:
                commit(file, int(line))
        else:
            commit(kept, int(line))
        print(int(line), flush=True)

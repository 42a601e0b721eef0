"""Switches `anna.session` to each journal mode on standard input, and prints the mode it is then in."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

for line in sys.stdin:
    with closing(sqlite3.connect("anna.session", timeout=0.05)) as file:
        try:
            file.execute(f"pragma journal_mode = {line.strip()}").fetchall()
        except sqlite3.OperationalError as error:
            # A file that somebody else has open in WAL mode stays so.
            assert "locked" in str(error)
        print(*file.execute("pragma journal_mode").fetchone(), flush=True)

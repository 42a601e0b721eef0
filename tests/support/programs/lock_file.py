"""Holds an exclusive lock on a file until a line is read from standard input."""

from __future__ import annotations

import sqlite3
import sys

file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("begin exclusive")
print("locked", flush=True)
sys.stdin.readline()
file.execute("rollback")

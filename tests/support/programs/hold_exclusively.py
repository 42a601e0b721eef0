"""Holds a file's exclusive lock until a line comes on standard input."""

from __future__ import annotations

import sqlite3
import sys

file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("begin exclusive")
print("held", flush=True)
sys.stdin.readline()
file.execute("rollback")

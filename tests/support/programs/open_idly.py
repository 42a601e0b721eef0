"""Has a file open and does nothing with it until a line comes on standard input."""

from __future__ import annotations

import sqlite3
import sys

file = sqlite3.connect(sys.argv[1])
file.execute("select * from version").fetchall()
print(flush=True)
sys.stdin.readline()

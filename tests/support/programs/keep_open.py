"""Keeps a file open without using it until a line is read from standard input."""

from __future__ import annotations

import sqlite3
import sys

file = sqlite3.connect(sys.argv[1])
file.execute("select * from version").fetchall()
print(flush=True)
sys.stdin.readline()

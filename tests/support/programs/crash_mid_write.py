"""Exits in the middle of a write, and leaves a hot journal beside the file."""

from __future__ import annotations

import os
import sqlite3
import sys

file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("pragma cache_size = 1")
file.execute("begin immediate")
file.execute("update entities set name = name || hex(randomblob(200))")
os._exit(0)

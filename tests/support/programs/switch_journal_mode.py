"""Switches `anna.session` to each journal mode on standard input, and prints the mode it is then
in.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

from support.files import try_to_switch

for line in sys.stdin:
    with closing(sqlite3.connect("anna.session", timeout=0.05)) as file:
        try_to_switch(file, line.strip())
        print(*file.execute("pragma journal_mode").fetchone(), flush=True)

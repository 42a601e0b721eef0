"""Executes each line of standard input as an SQL statement on a file. Prints the first value of its
result, or the error.
"""

from __future__ import annotations

import sqlite3
import sys

file = sqlite3.connect(sys.argv[1], timeout=0.05, isolation_level=None)
for line in sys.stdin:
    try:
        row = file.execute(line).fetchone()
    except sqlite3.OperationalError as error:
        row = (error,)
    print(row[0] if row else "", flush=True)
file.close()

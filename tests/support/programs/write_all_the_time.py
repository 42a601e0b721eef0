"""Writes a number to two rows of a file, again and again, in a journal mode, until a line is read. Prints
how often it was refused.
"""

from __future__ import annotations

import sqlite3
import sys
import threading

from support.waiting import TIMEOUT

path, mode = sys.argv[1:]
file = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)
file.execute(f"pragma journal_mode = {mode}")
file.execute("create table if not exists numbers (number integer)")
file.execute("insert into numbers values (0), (0)")
is_over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), is_over.set()), daemon=True).start()
print("writing", flush=True)
number = refused = 0
while not is_over.is_set():
    number += 1
    try:
        file.execute("begin immediate")
        for row in 1, 2:
            file.execute("update numbers set number = ? where rowid = ?", [number, row])
        file.execute("commit")
    except sqlite3.OperationalError:
        refused += 1
        if file.in_transaction:
            file.execute("rollback")
    is_over.wait(0.01)
print(f"{refused} refused", flush=True)

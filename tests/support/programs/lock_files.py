"""Holds exclusive locks on files, and locks `theirs.session` as Telethon does from the first entity
to `save()`.
"""

from __future__ import annotations

import sqlite3
import sys

from telethon.sessions import SQLiteSession

from support import entities

files = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
theirs = SQLiteSession("theirs")
print("ready", flush=True)
sys.stdin.readline()
for file in files:
    file.execute("begin exclusive")
theirs.process_entities(entities.crowd(100))
print("locked", flush=True)
sys.stdin.readline()
for file in files:
    file.execute("rollback")
theirs.save()

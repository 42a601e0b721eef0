"""Adds people to the session `people`, of whom few are in memory, until it is killed. Its argument tells its people
from those of others.
"""

from __future__ import annotations

import itertools
import sys

from support import entities
from support.waiting import TIMEOUT
from telethon_session_rust import RustSQLiteSession

first = int(sys.argv[1]) * 10**6
session = RustSQLiteSession("people", max_entities=50, timeout=TIMEOUT)
for number in itertools.count():
    ids = range(first + 20 * number + 1, first + 20 * number + 21)
    session.process_entities([entities.user(id, 1, username=f"user_{id}", first_name="Anna") for id in ids])
    session.save()
    print("written", flush=True)

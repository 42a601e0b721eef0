"""Backs up a session again and again while a thread adds entities and then an update state with their
number.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from telethon.tl.types.updates import State

from support import entities
from telethon_session_rust import RustMemorySession, RustSQLiteSession

session: Any = RustSQLiteSession("anna") if sys.argv[1] == "file" else RustMemorySession()


def add(number: int) -> None:
    session.process_entities([entities.user(number, number)])
    session.set_update_state(0, State(number, 1, entities.DATE, 1, 0))


def run(number: int) -> None:
    while True:
        number += 1
        add(number)


first = sum(1 for _ in session.entities()) + 1
for number in range(first, first + 5000):
    add(number)
asyncio.run(session.backup("copy", overwrite=True))
print("first", flush=True)
threading.Thread(target=run, args=[first + 4999], daemon=True).start()
while True:
    asyncio.run(session.backup("copy", overwrite=True))

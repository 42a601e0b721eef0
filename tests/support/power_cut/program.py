"""A program that saves a session repeatedly and marks what is saved: `python -m
support.power_cut.program FILE`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities
from telethon_session_rust import RustSQLiteSession

# Writes to this file, beside the session's, are marks in the recorder's log.
MARKS = "marks"
BEGINS, CALLS, SAVED = "begins", "calls", "saved"

FEW, MANY = 300, 600


def run(path: Path) -> None:
    marks = os.open(path.with_name(MARKS), os.O_WRONLY | os.O_CREAT)
    is_saved = {"key": 0, "pts": 0, "hash": 0, "rows": 0}

    def mark(what: str, **more: Any) -> None:
        os.write(marks, json.dumps([what, more]).encode())

    def set_key(number: int) -> None:
        session.auth_key = AuthKey(bytes([number]) * 256)
        is_saved["key"] = number

    def set_rest(number: int, rows: int = FEW) -> None:
        # All rows change. The names are long, so that few rows fit on a page.
        name = "Анна " * 10 + str(number)
        session.process_entities(
            [entities.user(id, number, username=f"User_{id}_{number}", first_name=name) for id in range(1, rows + 1)]
        )
        session.set_update_state(0, types.updates.State(number, 1, entities.DATE, 1, 0))
        is_saved.update(pts=number, hash=number, rows=rows)

    def set_all(number: int, rows: int = FEW) -> None:
        set_key(number)
        set_rest(number, rows)

    async def flush() -> None:
        await session.flush()

    def step(change: Callable[[], None], save: Callable[[], Any]) -> None:
        """Runs one transaction. Nothing is written before `save`, unless this process stalls for
        half a second.
        """
        mark(BEGINS)
        change()
        mark(CALLS)
        save()
        mark(SAVED, is_saved=is_saved)

    mark(SAVED)
    session = RustSQLiteSession(path)
    mark(SAVED)
    step(lambda: set_all(1), lambda: asyncio.run(flush()))
    step(lambda: set_key(2), session.save)
    step(lambda: set_rest(2), session.save)
    step(lambda: set_all(3), session.save)
    step(lambda: set_all(4, MANY), session.close)
    step(
        lambda: is_saved.update(rows=MANY - FEW),
        lambda: session._execute(f"delete from entities where id > {MANY - FEW}"),
    )
    # With a small cache, SQLite writes pages to the file before the commit.
    session._execute("pragma cache_size = 5")
    step(lambda: set_all(5, MANY), lambda: asyncio.run(flush()))
    step(lambda: set_all(6, MANY), session.close)


if __name__ == "__main__":
    run(Path(sys.argv[1]))

"""Sessions that keep few entities in memory, and their indexes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from support.waiting import until
from telethon_session_rust import Entity


def people(count: int) -> list[Entity]:
    """Returns people with a username, a phone and a name each, seen one after the other."""
    return [
        Entity(id, "user", id * 7, f"user_{id}", f"7999{id:07}", f"Anna {id}", 1_700_000_000 + id)
        for id in range(1, count + 1)
    ]


def index_of(session: Any) -> Path:
    return Path(f"{session.filename}-index")


def is_indexed(path: Path) -> bool:
    """Returns `True` if an index is complete, and that of the session file as it is now."""
    if not path.exists():
        return False
    header = Path(str(path).removesuffix("-index")).read_bytes()[:100]
    with closing(sqlite3.connect(path)) as connection:
        try:
            (is_complete, mark), *_ = connection.execute("select is_complete, mark from index_state")
        except sqlite3.OperationalError:
            # It has been created just now, or is locked.
            return False
    return bool(is_complete) and mark[:100] == header


def until_settled(session: Any) -> None:
    """Waits until what is stored is indexed, and memory holds no more than it may. What is a date alone is
    written when something else is.
    """
    until(lambda: is_indexed(index_of(session)))
    until(lambda: session._count_in_memory() <= session.max_entities)

"""Session files that releases of Telethon wrote, with at least one of each database version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from telethon.sessions.sqlite import CURRENT_VERSION

DATA = Path(__file__).parents[1] / "data"
FILES = sorted((DATA).glob("*.session"))
SPOILED = "telethon-1.44.0-reopened"


def version_of(path: str | Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("select version from version").fetchone()[0]


def telethon_can_open(path: Path) -> bool:
    """Returns `True` if the installed release can open the file.

    No release can upgrade version 1, because the upgrade drops a table that version 1 does not
    have. Nor can a release read a newer version than its own.
    """
    return 1 < version_of(path) <= CURRENT_VERSION


def rows_of(path: str | Path, table: str = "entities") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"select * from {table}").fetchall()

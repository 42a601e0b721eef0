"""A valid session file, and ways to alter it as a script might."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from telethon.sessions.sqlite import CURRENT_VERSION
from telethon.tl import types

from support import entities
from support.contents import OTHER_KEY, populate
from telethon_session_rust import RustSQLiteSession

TABLES = {
    "version": ["version"],
    "sessions": ["dc_id", "server_address", "port", "auth_key", "takeout_id"],
    "entities": ["id", "hash", "username", "phone", "name", "date"],
    "sent_files": ["md5_digest", "file_size", "type", "id", "hash"],
    "update_state": ["id", "pts", "qts", "date", "seq"],
}
# Keys by which the second entity of the crowd is found.
KEYS = [2, "+79990000002", "Анна 2 Π"]
SECOND = types.InputPeerUser(2, -2 * 104729).to_dict()


def create_valid_file(path: Path) -> bytes:
    """Creates a file with a login, entities, update states and sent files, and returns its bytes."""
    session = RustSQLiteSession(path)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = OTHER_KEY
    populate(session)
    session.set_update_state(5, types.updates.State(1, 2, entities.DATE, 3, 0))
    session.cache_file(b"2" * 16, 1, types.InputPhoto(1, 2, b""))
    session.close()
    return path.read_bytes()


def changed(path: Path, *statements: Any) -> Path:
    """Executes statements, or pairs of a statement and its values. They may use the collation
    `odd`, which is not known to other connections.
    """
    with closing(sqlite3.connect(path)) as file, file:
        file.create_collation("odd", lambda left, right: (left > right) - (left < right))
        for statement in statements:
            file.execute(*((statement,) if isinstance(statement, str) else statement))
    return path


def loosened(table: str, columns: list[str]) -> list[str]:
    """Returns statements that recreate a table with these columns, without types, keys and other
    constraints.
    """
    names = ", ".join(columns)
    return [
        f"create table loose ({names})",
        f"insert into loose select {names} from {table}",
        f"drop table {table}",
        f"alter table loose rename to {table}",
    ]


def columns_of(table: str) -> list[str]:
    has_tmp_key = table == "sessions" and CURRENT_VERSION > 7
    return [*TABLES[table], *(["tmp_auth_key"] if has_tmp_key else [])]


def rows_of(path: Path, columns: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(f"select {columns}").fetchall()

"""The tables of a session file, by database version."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from .._core import SQLiteCore, usernames_table

# The newest supported database version.
NEWEST_VERSION = 8
# Up to this version access hashes may be wrong, and an upgrade removes all entities, as in
# Telethon.
LAST_WITH_WRONG_HASHES = 5

# A table of this package's own, only in files with an entity that has several usernames: those besides
# the one in `entities`.
USERNAMES = "telethon_session_rust_usernames"
# In an entity file: whose it is.
OWNER_TABLE = "telethon_session_rust_owner"

# Between statements.
_SEPARATOR = "\n;\n"

_TABLE_SINCE = {"sent_files": 3, "update_state": 4}
_COLUMN_SINCE = {("sessions", "takeout_id"): 5, ("entities", "date"): 7, ("sessions", "tmp_auth_key"): 8}


class Column(NamedTuple):
    """A column as SQLite describes it."""

    name: str
    type: str
    # The position in the primary key, from 1, or 0.
    key: int


Tables = dict[str, list[Column]]

SELECT_COLUMNS = """
    select t.name as table_name, lower(c.name) as name, lower(c.type) as type, c.pk as key
    from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table' order by t.rowid, c.cid
"""


def group_by_table(rows: list[tuple[str, str, str, int]]) -> Tables:
    """Returns the tables that the rows of `SELECT_COLUMNS` describe."""
    tables: Tables = {}
    for table, name, type_, key in rows:
        tables.setdefault(table, []).append(Column(name, type_, key))
    return tables


def _new_session_tables() -> Tables:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in newest_statements():
            connection.execute(statement)
        return group_by_table(connection.execute(SELECT_COLUMNS).fetchall())


newest_tables: Callable[[], Tables] = functools.cache(_new_session_tables)
"""Returns the tables of a new session."""


def known_tables() -> Tables:
    """Returns the tables of a new session, and that of this package."""
    return {**newest_tables(), USERNAMES: _usernames_columns()}


def _new_usernames_columns() -> list[Column]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(usernames_table())
        return group_by_table(connection.execute(SELECT_COLUMNS).fetchall())[USERNAMES]


_usernames_columns: Callable[[], list[Column]] = functools.cache(_new_usernames_columns)


def create_usernames(connection: sqlite3.Connection) -> None:
    """Creates the table of this package if it does not exist. Does not end a transaction."""
    found = connection.execute("select 1 from sqlite_master where name = ?", [USERNAMES]).fetchone()
    for statement in [] if found else usernames_table().split(";"):
        connection.execute(statement)


def newest_statements() -> list[str]:
    """Returns the statements that create the tables of a new session."""
    core = SQLiteCore()
    core._open(None, NEWEST_VERSION, False)
    # The first row is all that it returns.
    found = core._execute(f"select group_concat(sql, '{_SEPARATOR}') from sqlite_master where sql is not null")
    core.close()
    return str(found[0]).split(_SEPARATOR) if found else []


def expected_tables(version: int) -> Tables:
    """Returns the tables that Telethon creates for a database version and that are still in use."""
    return {
        table: [column for column in columns if version >= _COLUMN_SINCE.get((table, column.name), 1)]
        for table, columns in newest_tables().items()
        if version >= _TABLE_SINCE.get(table, 1) and table != "version"
    }


def minimum_version(tables: Tables) -> int:
    """Returns the oldest version that has all columns of these tables."""
    has = {(table, column.name) for table, columns in tables.items() for column in columns}
    since = [*_COLUMN_SINCE.items(), (("update_state", "id"), _TABLE_SINCE["update_state"])]
    return max((version for column, version in since if column in has), default=1)

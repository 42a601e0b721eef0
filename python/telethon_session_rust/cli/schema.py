"""What tables a session file has, by its database version."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import NamedTuple

from .._core import SQLiteCore

# The newest database version that is known here.
NEWEST = 8
# Up to this one the access hashes may be wrong, and Telethon's upgrade forgets all entities.
WRONG_HASHES = 5

_SINCE = {"sent_files": 3, "update_state": 4}
_COLUMNS_SINCE = {("sessions", "takeout_id"): 5, ("entities", "date"): 7, ("sessions", "tmp_auth_key"): 8}


class Column(NamedTuple):
    """A column as SQLite describes it; `key` is its place in the primary key, from 1, or 0."""

    name: str
    type: str
    key: int


Tables = dict[str, list[Column]]

SELECT = """
    select t.name as place, lower(c.name) as name, lower(c.type) as type, c.pk as key
    from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table' order by t.rowid, c.cid
"""


def tables_of(rows: list[tuple[str, str, str, int]]) -> Tables:
    """The tables of a file, of what `SELECT` answers."""
    tables: Tables = {}
    for table, name, type_, key in rows:
        tables.setdefault(table, []).append(Column(name, type_, key))
    return tables


def _as_new() -> Tables:
    core = SQLiteCore()
    core._open(None, NEWEST, False)
    found = core._execute(f"select json_group_array(json_array(place, name, type, key)) from ({SELECT})")
    core.close()
    return tables_of(json.loads(found[0] if found else "[]"))


newest: Callable[[], Tables] = functools.cache(_as_new)
"""The tables of a new session."""


def wanted(version: int) -> Tables:
    """As Telethon makes them for a database version, those that are still of use."""
    return {
        table: [column for column in columns if version >= _COLUMNS_SINCE.get((table, column.name), 1)]
        for table, columns in newest().items()
        if version >= _SINCE.get(table, 1) and table != "version"
    }


def least(tables: Tables) -> int:
    """The oldest version that has what these tables have."""
    has = {(table, column.name) for table, columns in tables.items() for column in columns}
    since = [*_COLUMNS_SINCE.items(), (("update_state", "id"), _SINCE["update_state"])]
    return max((version for column, version in since if column in has), default=1)

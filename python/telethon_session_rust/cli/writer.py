"""Writes rows to session files with their dates, which the session classes would replace by the
current time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from .._core import encrypt_key
from ..sqlite import RustSQLiteSession
from . import schema
from .encryption import Keys
from .reader import BUSY_TIMEOUT, translate_error
from .rows import Credentials, Row
from .schema import USERNAMES

_INSERT_NEWER_ENTITY = """
    insert into entities (id, hash, username, phone, name, date) values (?, ?, ?, ?, ?, ?)
    on conflict(id) do update set
        hash = excluded.hash, username = excluded.username, phone = excluded.phone, name = excluded.name,
        date = excluded.date
    where ifnull(excluded.date, 0) > ifnull(date, 0)
"""
# A username belongs to the entity that was seen with it last.
_INSERT_NEWER_ALIAS = f"""
    insert into {USERNAMES} (username, id, position, main, date) values (?, ?, ?, ?, ?)
    on conflict(username) do update set
        id = excluded.id, position = excluded.position, main = excluded.main, date = excluded.date
    where excluded.date >= date
"""
_INSERT = {
    "entities": _INSERT_NEWER_ENTITY,
    "sent_files": "insert or ignore into sent_files (md5_digest, file_size, type, id, hash) values (?, ?, ?, ?, ?)",
    "update_state": "insert or ignore into update_state (id, pts, qts, date, seq) values (?, ?, ?, ?, ?)",
    USERNAMES: _INSERT_NEWER_ALIAS,
}
_REPLACE_UPDATE_STATE = "insert or replace into update_state (id, pts, qts, date, seq) values (?, ?, ?, ?, ?)"
# Telethon does this when a username with several owners is looked up.
_CLEAR_DUPLICATE_USERNAMES = """
    update entities set username = null where id in (
        select id from (
            select id, row_number() over (partition by username order by ifnull(date, 0) desc, id desc) as place
            from entities where username is not null
        ) where place > 1
    )
"""
# A username that one entity has in `entities` and another among its others.
_SHARED = f"from entities e join {USERNAMES} u on u.username = e.username where e.id <> u.id"
_CLEAR_DUPLICATE_ALIASES = (
    f"delete from {USERNAMES} where username in (select u.username {_SHARED} and ifnull(e.date, 0) >= u.date)",
    f"update entities set username = null where id in (select e.id {_SHARED} and ifnull(e.date, 0) < u.date)",
)


class SessionWriter:
    """A session file that is open for writing, in one transaction."""

    def __init__(self, connection: sqlite3.Connection, keys: Keys = ()) -> None:
        self._connection = connection
        self._keys = keys

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Inserts rows. An entity replaces an older copy of itself; other rows never replace
        existing ones.
        """
        if table == USERNAMES and rows:
            schema.create_usernames(self._connection)
        if rows:
            self._connection.executemany(_INSERT[table], rows)

    def insert_aliases(self, rows: Sequence[Row]) -> None:
        """Inserts the other usernames of entities that were inserted: what `with_aliases` returns. They
        replace those that the entities had, unless the entities were seen later.
        """
        for id, _, main, _, _, date, aliases in rows:
            found = self._connection.execute("select ifnull(date, 0) from entities where id = ?", [id]).fetchone()
            if found is None or found[0] > (date or 0):
                continue
            schema.create_usernames(self._connection)
            self._connection.execute(f"delete from {USERNAMES} where id = ?", [id])
            self.insert(USERNAMES, [(alias, id, n, main, seen) for n, (alias, seen) in enumerate(aliases)])

    def clear(self) -> None:
        """Removes everything but the login."""
        for table in _INSERT:
            if table != USERNAMES or self._has_usernames():
                self._connection.execute(f"delete from {table}")

    def replace_update_states(self, rows: Sequence[Row]) -> None:
        """Inserts update states. They replace those with their IDs."""
        self._connection.executemany(_REPLACE_UPDATE_STATE, rows)

    def replace_credentials(self, credentials: Credentials) -> None:
        """Replaces the login, which is encrypted if there are keys."""
        auth_key, tmp_auth_key = (
            encrypt_key(key, self._keys or None) for key in (credentials.auth_key, credentials.tmp_auth_key)
        )
        credentials = replace(credentials, auth_key=auth_key, tmp_auth_key=tmp_auth_key)
        columns = ["dc_id", "server_address", "port", "auth_key", "takeout_id"]
        if any(row[1] == "tmp_auth_key" for row in self._connection.execute("pragma table_info(sessions)")):
            columns.append("tmp_auth_key")
        self._connection.execute("delete from sessions")
        self._connection.execute(
            f"insert into sessions ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
            [getattr(credentials, column) for column in columns],
        )

    def clear_duplicate_usernames(self) -> None:
        """Leaves each username to the entity seen last."""
        self._connection.execute(_CLEAR_DUPLICATE_USERNAMES)
        if self._has_usernames():
            for statement in _CLEAR_DUPLICATE_ALIASES:
                self._connection.execute(statement)

    def _has_usernames(self) -> bool:
        found = self._connection.execute("select 1 from sqlite_master where type = 'table' and name = ?", [USERNAMES])
        return found.fetchone() is not None

    def count(self, table: str) -> int:
        if table == USERNAMES and not self._has_usernames():
            return 0
        return int(self._connection.execute(f"select count(*) from {table}").fetchone()[0])


@contextmanager
def open_writer(path: Path, keys: Keys = ()) -> Iterator[SessionWriter]:
    """Opens a file for writing. Creates it if it does not exist, and upgrades it if it is older.

    Commits when the block ends, and rolls back if it raises.

    Raises:
        CommandError: SQLite cannot write the file.
    """
    RustSQLiteSession(path, encryption_key=keys or None).close()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)) as connection:
        try:
            # Deleted keys must not remain in the file. The sessions set this too.
            connection.execute("pragma secure_delete = on")
            connection.execute("begin immediate")
            yield SessionWriter(connection, keys)
            connection.execute("commit")
        except sqlite3.Error as error:
            raise translate_error(path, error) from error


def copy_owner(source: Path, target: Path) -> None:
    """Gives a file the owner of another one if the process runs as root."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = source.stat()
        os.chown(target, owner.st_uid, owner.st_gid)

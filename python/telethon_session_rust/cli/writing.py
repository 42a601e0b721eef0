"""Session files written past a session's class: rows with the dates that they have."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ..sqlite import RustSQLiteSession
from .reading import PATIENCE, explained
from .values import Login, Row

_NEWER = """
    insert into entities (id, hash, username, phone, name, date) values (?, ?, ?, ?, ?, ?)
    on conflict(id) do update set
        hash = excluded.hash, username = excluded.username, phone = excluded.phone, name = excluded.name,
        date = excluded.date
    where ifnull(excluded.date, 0) > ifnull(date, 0)
"""
_OTHERS = {
    "sent_files": "insert or ignore into sent_files (md5_digest, file_size, type, id, hash) values (?, ?, ?, ?, ?)",
    "update_state": "insert or ignore into update_state (id, pts, qts, date, seq) values (?, ?, ?, ?, ?)",
}
# As Telethon does when it is asked for such a username.
_ONE_OWNER = """
    update entities set username = null where id in (
        select id from (
            select id, row_number() over (partition by username order by ifnull(date, 0) desc, id desc) as place
            from entities where username is not null
        ) where place > 1
    )
"""


class Writing:
    """A session file in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Adds rows. Of an entity the one seen last stays, of everything else what is there."""
        self._connection.executemany(_NEWER if table == "entities" else _OTHERS[table], rows)

    def put_login(self, login: Login) -> None:
        columns = ["dc_id", "server_address", "port", "auth_key", "takeout_id"]
        if any(row[1] == "tmp_auth_key" for row in self._connection.execute("pragma table_info(sessions)")):
            columns.append("tmp_auth_key")
        self._connection.execute("delete from sessions")
        self._connection.execute(
            f"insert into sessions ({', '.join(columns)}) values ({', '.join('?' * len(columns))})",
            [getattr(login, column) for column in columns],
        )

    def give_each_username_one_owner(self) -> None:
        """Whoever of several with one username was seen last keeps it."""
        self._connection.execute(_ONE_OWNER)

    def count(self, table: str) -> int:
        return int(self._connection.execute(f"select count(*) from {table}").fetchone()[0])


@contextmanager
def writing(path: Path) -> Iterator[Writing]:
    """All that is done in the block is written at its end, or nothing. A file that is not there yet is made."""
    RustSQLiteSession(path).close()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as connection:
        try:
            # As the sessions have it: nothing that was deleted stays behind.
            connection.execute("pragma secure_delete = on")
            connection.execute("begin immediate")
            yield Writing(connection)
            connection.execute("commit")
        except sqlite3.Error as error:
            raise explained(path, error) from error


def give_to_owner_of(path: Path, other: Path) -> None:
    """Whoever repairs somebody's file as root leaves it theirs."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = other.stat()
        os.chown(path, owner.st_uid, owner.st_gid)

"""Reads a session, wherever it is, with a `SessionReader`.

A session on a server is copied into a database in memory first, so that commands treat it as they
treat a file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..remote import RemoteSession
from . import schema
from .encryption import Keys
from .errors import CommandError
from .output import progress
from .places import Place, Remote
from .reader import SessionReader, open_reader
from .remote import check_exists, credentials_of, entity_batches, is_there, open_remote
from .rows import OLDEST_DATE, Credentials, Row

_INSERT_ENTITY = "insert or replace into entities values (?, ?, ?, ?, ?, ?)"
_INSERT_ALIAS = f"""\
insert or ignore into {schema.USERNAMES} select ?2, id, ?3, username, ifnull(date, 0) from entities
where id = ?1 and username is not ?2"""
_INSERT_UPDATE_STATE = "insert or replace into update_state values (?, ?, ?, ?, ?)"


@contextmanager
def open_source(place: Place, keys: Keys = (), *, is_login_enough: bool = False) -> Iterator[SessionReader]:
    """Opens a session for reading.

    Args:
        place: The file, or the session on a server.
        keys: The encryption keys.
        is_login_enough: Whether to leave out sent files on a server, and entities other than the
            account itself. Those of a file are never left out.

    Raises:
        CommandError: The session does not exist, or cannot be read.
        SessionError: The server cannot be reached.
    """
    if isinstance(place, Path):
        with open_reader(place, keys=keys) as file:
            yield file
        return
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with open_remote(place, keys) as session:
            check_exists(session, place)
            _create(connection, credentials_of(session))
            if is_login_enough:
                _fill(connection, session, [_account(session)], [])
            else:
                _fill(connection, session, _entity_batches(place, session), session._sent_files())
        yield SessionReader(place, connection)


@contextmanager
def open_rows(
    place: Place | str,
    credentials: Credentials,
    entities: Iterable[Row],
    usernames: Iterable[tuple[int, str]],
    update_states: Iterable[Row],
) -> Iterator[SessionReader]:
    """Opens a session that consists of a login, entities, usernames of entities besides those in their
    rows, and update states.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _create(connection, credentials)
        connection.execute("begin")
        connection.executemany(_INSERT_ENTITY, entities)
        schema.create_usernames(connection)
        connection.executemany(_INSERT_ALIAS, ((id, name, n) for n, (id, name) in enumerate(usernames)))
        connection.executemany(_INSERT_UPDATE_STATE, update_states)
        connection.execute("commit")
        yield SessionReader(place, connection)


def exists(place: Place, keys: Keys = ()) -> bool:
    """Returns `True` if there is a file, or a session on the server."""
    if isinstance(place, Path):
        return place.exists() and place.stat().st_size > 0
    with open_remote(place, keys) as session:
        return is_there(session, place)


class Existing(NamedTuple):
    """What a session that is to get a login already holds.

    Attributes:
        auth_key: The usable key of its login, which may still be encrypted; empty if it has none.
        account_id: The ID of the account whose entities it has; `None` if that is not known.
    """

    auth_key: bytes = b""
    account_id: int | None = None

    def is_of_another_account(self, account_id: int | None) -> bool:
        """Returns `True` if the entities are not this account's, which cannot use their access hashes."""
        return bool(self.account_id and account_id and self.account_id != account_id)


def existing(place: Place, keys: Keys = ()) -> Existing:
    """Returns what a session that is to get a login already holds. It need not exist.

    Raises:
        CommandError: The file is not a session, or is the entity file of a string session.
    """
    if not exists(place, keys):
        return Existing()
    with open_source(place, keys, is_login_enough=True) as file:
        # Reading the version raises if the file is not a session.
        credentials = file.version and file.credentials()
        auth_key = credentials.auth_key if credentials else b""
        if schema.OWNER_TABLE in file.tables and not auth_key:
            raise CommandError(
                f"{place} is the entity file of a RustStringSession, which holds no login: choose another name"
            )
        return Existing(auth_key, file.account_id())


def _entity_batches(place: Remote, session: RemoteSession) -> Iterator[list[Row]]:
    with progress(f"reading {place}", None) as advance:
        for batch in entity_batches(session):
            yield batch
            advance(len(batch))


def _account(session: RemoteSession) -> list[Row]:
    """Returns entity 0, which has the ID of the account, and the account's own row."""
    found = session.get_entity_rows_by_id(0)
    if not found:
        return []
    rows: list[Row] = [(*found, None, None, None, 0)]
    account = session.find_entity(found[1])
    if account and account.kind == "user":
        rows.append((account.marked_id, *account[2:6], account.last_seen or 0))
    return rows


def _create(connection: sqlite3.Connection, credentials: Credentials) -> None:
    for statement in schema.newest_statements():
        connection.execute(statement)
    connection.execute("insert into version values (?)", [schema.NEWEST_VERSION])
    values = [getattr(credentials, column.name) for column in schema.newest_tables()["sessions"]]
    connection.execute(f"insert into sessions values ({', '.join('?' * len(values))})", values)


def _fill(
    connection: sqlite3.Connection, session: RemoteSession, batches: Iterable[list[Row]], sent_files: Iterable[Row]
) -> None:
    connection.execute("begin")
    for batch in batches:
        rows: list[Row] = [(*row[:5], row[5] if row[5] > OLDEST_DATE else None, *row[6:]) for row in batch]
        connection.executemany(_INSERT_ENTITY, (row[:6] for row in rows))
        for id, _, main, _, _, date, aliases in (row for row in rows if len(row) > 6):
            schema.create_usernames(connection)
            usernames = [(alias, id, n, main, date or 0) for n, alias in enumerate(aliases)]
            connection.executemany(f"insert or replace into {schema.USERNAMES} values (?, ?, ?, ?, ?)", usernames)
    states = ((id, s.pts, s.qts, s.date and int(s.date.timestamp()), s.seq) for id, s in session.get_update_states())
    connection.executemany(_INSERT_UPDATE_STATE, states)
    connection.executemany("insert into sent_files values (?, ?, ?, ?, ?)", sent_files)
    connection.execute("commit")

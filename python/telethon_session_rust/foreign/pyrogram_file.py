"""The `.session` files of Pyrogram (versions 1 to 3) and of Kurigram and other forks (4 to 7)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from ..entity import Entity
from . import people
from .database import Database, open_database
from .login import account_id, checked_dc_id, checked_key, completed_address
from .session import ConversionError, ForeignSession, UpdateState

# Pyrogram removes all peers of this version when it upgrades a file.
_WITH_UNUSABLE_PEERS = 1
_LOGIN = {"dc_id", "auth_key"}
_OPTIONAL = ("server_address", "port", "api_id", "test_mode", "user_id", "is_bot")
_PEER = {"id", "access_hash", "type"}
# The columns with the marked ID and the username.
_USERNAME = ("id", "username")
_PYROFORK_USERNAME = ("peer_id", "id")
_STATE = {"id", "pts", "qts", "date", "seq"}
# Kurigram stores a peer's kind beside its marked ID, which tells it too. Min peers are never stored.
_KIND = people.KIND.format(has_hash="typeof(access_hash) = 'integer' and access_hash <> 0")
_NO_STATE = (None,) * 4


def recognizes(database: Database) -> bool:
    """Returns `True` if a database looks like one of Pyrogram's or its forks'."""
    return {"sessions", "peers", "version"} <= database.names and "entities" not in database.names


def read(path: Path) -> ForeignSession:
    """Reads a file that `recognizes` accepted.

    Raises:
        ConversionError: It is damaged, has no login, or its data centre is unknown.
    """
    with open_database(path) as database:
        columns = _columns(database, "sessions", _LOGIN)
        _columns(database, "version", {"number"})
        has_names = database.columns("usernames") >= {*_USERNAME}
        database.forbid_all_but({"version", "sessions", "peers"})
        version = database.value("select number from version not indexed")
        if type(version) is not int or version < 1:
            raise ConversionError("it is damaged: its version is not a number")
        optional = ", ".join(name if name in columns else f"null as {name}" for name in _OPTIONAL)
        rows = database.select(f"select dc_id, auth_key, {optional} from sessions not indexed limit 1")
        if not rows:
            raise ConversionError("it has no auth key: the program was not logged in")
        dc_id, auth_key, server_address, port, api_id, test_mode, user_id, is_bot = rows[0]
        key, dc_id, is_test = checked_key(auth_key), checked_dc_id(dc_id), test_mode == 1
        server_address, port = completed_address(dc_id, is_test, server_address, port)
    return ForeignSession(
        library="Kurigram" if has_names else "Pyrogram",
        dc_id=dc_id,
        auth_key=key,
        server_address=server_address,
        port=port,
        is_test=is_test,
        user_id=account_id(user_id),
        is_bot=bool(is_bot) if is_bot in (0, 1) else None,
        api_id=api_id if type(api_id) is int and api_id > 0 else None,
        entities=partial(_entities, path, version),
        usernames=partial(_usernames, path),
        update_states=partial(_update_states, path),
        notes=tuple(_notes(path, version)),
    )


def _columns(database: Database, table: str, needed: set[str]) -> set[str]:
    """Returns the columns of a table.

    Raises:
        ConversionError: It is something else, or lacks columns.
    """
    columns = database.columns(table)
    if not needed <= columns:
        raise ConversionError(f"its table {table} is not one of Pyrogram's")
    return columns


def _open_peers(database: Database) -> set[str]:
    columns = _columns(database, "peers", _PEER)
    if not database.has_integer_key("peers", "id"):
        raise ConversionError("its table peers is not one of Pyrogram's")
    return columns


def _notes(path: Path, version: int) -> Iterator[str]:
    with open_database(path) as database:
        _open_peers(database)
        database.forbid_all_but({"peers"})
        unusable = "" if version == _WITH_UNUSABLE_PEERS else f" where {_KIND} is null"
        left_out = database.value(f"select count(*) from peers not indexed{unusable}")
    if left_out and version == _WITH_UNUSABLE_PEERS:
        yield f"people left out, because Pyrogram does not use those of version {version} either: {left_out:,}"
    elif left_out:
        yield f"people left out, because the session has no usable access hash for them: {left_out:,}"


def _entities(path: Path, version: int) -> Iterator[Entity]:
    if version == _WITH_UNUSABLE_PEERS:
        return
    with open_database(path) as database, closing(sqlite3.connect("", isolation_level=None)) as names:
        columns = _open_peers(database)
        has_names = database.columns("usernames") >= {*_USERNAME}
        database.forbid_all_but({"peers", "usernames"})
        _copy_usernames(database, names, has_names)
        optional = ("username", "phone_number", "last_update_on")
        values = ", ".join(name if name in columns else f"null as {name}" for name in optional)
        table = f"peers not indexed where {_KIND} is not null"
        for batch in database.batches("id", f"{_KIND} as kind, access_hash, {values}", table):
            found = dict(names.execute("select * from names where id between ? and ?", (batch[0][0], batch[-1][0])))
            for id, kind, access_hash, username, phone, seen in batch:
                yield Entity(
                    people.bare_id(id),
                    kind,
                    access_hash if kind != "chat" else 0,
                    people.username(found.get(id, username)),
                    people.phone(phone),
                    None,
                    people.date(seen),
                )


def _copy_usernames(database: Database, names: sqlite3.Connection, has_names: bool) -> None:
    """Copies the first username of each peer to a temporary database, which has an index. SQLite keeps it
    in memory while it is small.
    """
    names.execute("create table names (id integer primary key, username text)")
    if not has_names:
        return
    names.execute("begin")
    for batch in database.batches("rowid", "id, username", "usernames not indexed"):
        rows = [(id, name) for _, id, name in batch if type(id) is int and people.username(name)]
        names.executemany("insert or ignore into names values (?, ?)", rows)
    names.execute("commit")


def _usernames(path: Path) -> Iterator[tuple[int, str]]:
    with open_database(path) as database:
        found = database.columns("usernames")
        # Pyrofork's table has others than Kurigram's.
        columns = next((columns for columns in (_USERNAME, _PYROFORK_USERNAME) if found >= {*columns}), None)
        if columns is None:
            return
        database.forbid_all_but({"usernames"})
        for batch in database.batches("rowid", ", ".join(columns), "usernames not indexed"):
            for _, id, name in batch:
                username = people.username(name)
                if type(id) is int and username:
                    yield id, username


def _update_states(path: Path) -> Iterator[UpdateState]:
    with open_database(path) as database:
        if not database.columns("update_state") >= _STATE or not database.has_integer_key("update_state", "id"):
            return
        database.forbid_all_but({"update_state"})
        account = next(iter(database.select("select pts, qts, date, seq from update_state where id = 0")), _NO_STATE)
        pts, qts, date, seq = (people.int32(value) for value in account)
        if pts and date:
            yield 0, pts, qts or 0, date, seq or 0
        channels = f"update_state not indexed where id < {people.CHANNEL_ZERO}"
        for batch in database.batches("id", "pts", channels):
            for id, value in batch:
                channel_pts = people.int32(value)
                if channel_pts and id >= people.LAST_CHANNEL:
                    # Telethon ignores the date of a channel.
                    yield people.bare_id(id), channel_pts, 0, date or 1, 0

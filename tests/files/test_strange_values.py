"""Files that are sound databases and hold what Telethon never wrote, as after somebody's script: the rest is found."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.altered_files import KEYS, SECOND, TABLES, changed, columns_of, loosened, rows_of
from support.counters import tried
from support.file_client import Lives
from support.file_worker import KEY

pytest_plugins = ["support.altered_file_fixtures"]

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]
STRANGE = [
    *[None, 0, -1, 2**31, 2**62, 2**63 - 1, -(2**63), 1.5, 1e300, float("inf"), -1e-300],
    *["", "text", "7", "a\0b", "\ufffd\U0010ffff", "x" * 10**6, b"", b"blob", b"\xff" * 256, b"\0" * 10**6],
]


@pytest.mark.parametrize("is_loose", [False, True], ids=["declared", "loose"])
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_strange_value(table: str, column: str, is_loose: bool, sound: bytes, lives: Lives) -> None:
    """In one row; the others are found, and who is stored again is stored as ever."""
    paths = []
    for value in STRANGE:
        path = lives.new_path()
        path.write_bytes(sound)
        statements = loosened(table, columns_of(table)) if is_loose else []
        which = "id = 1" if table == "entities" else f"rowid = (select min(rowid) from {table})"
        put = f"update {table} set {column} = ? where {which}"
        # What its declaration does not allow cannot be there.
        with suppress(sqlite3.IntegrityError):
            paths.append(changed(path, *statements, (put, [value])))
    for path, life in zip(paths, lives.of(*paths, keys=KEYS), strict=True):
        assert (life.faults, life.changed) == ([], [])
        if not life.refused:
            assert life.found == [[SECOND] * len(KEYS)] * 2
        if not life.errors:
            assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]
            assert (1, 5, "user1", "Анна 1 Π") in rows_of(path, "id, hash, username, name from entities")
        path.unlink()
    tried("bad files", len(paths))


def test_no_login_in_the_file(path: Path, lives: Lives) -> None:
    """Telethon deletes the row and inserts it again: a program that was killed in between has left none."""
    (life,) = lives.of(changed(path, "delete from sessions"))
    assert (life.errors, life.refused) == ([], None)
    assert life.ours == life.theirs == [None, 0, None, None]
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


@pytest.mark.parametrize("is_loose", [False, True], ids=["declared", "loose"])
def test_several_logins(is_loose: bool, path: Path, lives: Lives) -> None:
    """Telethon reads the first, and leaves one when it writes."""
    more = "insert into sessions (dc_id, server_address, port, auth_key) values (?, ?, ?, ?)"
    logins = [[dc, f"10.0.0.{dc}", 443 + dc, bytes([dc]) * 256] for dc in (4, 1, 5)]
    statements = loosened("sessions", columns_of("sessions")) if is_loose else []
    (life,) = lives.of(changed(path, *statements, *((more, login) for login in logins)))
    assert (life.errors, life.refused) == ([], None)
    assert life.ours == life.theirs
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


KEY_SIZES = [0, 1, 255, 256, 257, 10_000]
PORTS = [None, 0, -1, 65535, 65536, 2**63 - 1]
ADDRESSES = [None, "", "no address", "300.1.1.1", "telegram.org", "2001:67c:4e8:f002::a", "x" * 1000, "a\0b"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("auth_key", b"k" * size) for size in KEY_SIZES],
        *[("port", port) for port in PORTS],
        # Where there is none, Telethon takes the key elsewhere: see test_missing_addresses.py.
        *[("server_address", address) for address in ADDRESSES if address],
        *[("dc_id", dc) for dc in (0, -1, 10_000, 2**63 - 1)],
    ],
)
def test_a_login_that_is_none(column: str, value: Any, path: Path, lives: Lives) -> None:
    """What Telethon takes without a question is the client's to try."""
    (life,) = lives.of(changed(path, (f"update sessions set {column} = ?", [value])))
    tried("bad files")
    assert (life.errors, life.refused) == ([], None)
    assert life.ours == life.theirs

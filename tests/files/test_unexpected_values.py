"""Valid databases with values that Telethon never writes, such as a script may leave: the other
rows are found.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.altered_files import KEYS, SECOND, TABLES, changed, columns_of, loosened, rows_of
from support.counters import tally
from support.file_client import FileWorker
from support.file_worker import KEY

pytest_plugins = ["support.altered_file_fixtures"]

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]
UNEXPECTED = [
    *[None, 0, -1, 2**31, 2**62, 2**63 - 1, -(2**63), 1.5, 1e300, float("inf"), -1e-300],
    *["", "text", "7", "a\0b", "\ufffd\U0010ffff", "x" * 10**6, b"", b"blob", b"\xff" * 256, b"\0" * 10**6],
]


@pytest.mark.parametrize("is_loose", [False, True], ids=["declared", "loose"])
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_an_unexpected_value(table: str, column: str, is_loose: bool, valid_file: bytes, worker: FileWorker) -> None:
    """One row has an unexpected value. The others are found, and entities are stored as usual."""
    paths = []
    for value in UNEXPECTED:
        path = worker.new_path()
        path.write_bytes(valid_file)
        statements = loosened(table, columns_of(table)) if is_loose else []
        which = "id = 1" if table == "entities" else f"rowid = (select min(rowid) from {table})"
        update = f"update {table} set {column} = ? where {which}"
        # A value that the column's constraints reject cannot be in a file.
        with suppress(sqlite3.IntegrityError):
            paths.append(changed(path, *statements, (update, [value])))
    for path, report in zip(paths, worker.run(*paths, keys=KEYS), strict=True):
        assert (report.faults, report.changed) == ([], [])
        if not report.refused:
            assert report.found == [[SECOND] * len(KEYS)] * 2
        if not report.errors:
            assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]
            assert (1, 5, "user1", "Анна 1 Π") in rows_of(path, "id, hash, username, name from entities")
        path.unlink()
    tally("malformed files", len(paths))


def test_no_login(path: Path, worker: FileWorker) -> None:
    """Telethon deletes the row and inserts it again, so a program killed in between leaves none."""
    (report,) = worker.run(changed(path, "delete from sessions"))
    assert (report.errors, report.refused) == ([], None)
    assert report.ours == report.theirs == [None, 0, None, None]
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


@pytest.mark.parametrize("is_loose", [False, True], ids=["declared", "loose"])
def test_several_logins(is_loose: bool, path: Path, worker: FileWorker) -> None:
    """Telethon reads the first login, and keeps one when it writes."""
    more = "insert into sessions (dc_id, server_address, port, auth_key) values (?, ?, ?, ?)"
    logins = [[dc, f"10.0.0.{dc}", 443 + dc, bytes([dc]) * 256] for dc in (4, 1, 5)]
    statements = loosened("sessions", columns_of("sessions")) if is_loose else []
    (report,) = worker.run(changed(path, *statements, *((more, login) for login in logins)))
    assert (report.errors, report.refused) == ([], None)
    assert report.ours == report.theirs
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


KEY_SIZES = [0, 1, 255, 256, 257, 10_000]
PORTS = [None, 0, -1, 65535, 65536, 2**63 - 1]
ADDRESSES = [None, "", "no address", "300.1.1.1", "telegram.org", "2001:67c:4e8:f002::a", "x" * 1000, "a\0b"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("auth_key", b"k" * size) for size in KEY_SIZES],
        *[("port", port) for port in PORTS],
        # Without an address, Telethon uses the key at another data centre: see
        # test_missing_addresses.py.
        *[("server_address", address) for address in ADDRESSES if address],
        *[("dc_id", dc) for dc in (0, -1, 10_000, 2**63 - 1)],
    ],
)
def test_invalid_credentials(column: str, value: Any, path: Path, worker: FileWorker) -> None:
    """Values that Telethon accepts unchecked are passed on to the client."""
    (report,) = worker.run(changed(path, (f"update sessions set {column} = ?", [value])))
    tally("malformed files")
    assert (report.errors, report.refused) == ([], None)
    assert report.ours == report.theirs

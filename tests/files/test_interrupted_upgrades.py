"""Files whose creation or upgrade was interrupted: ours opens them, or refuses them and suggests a
repair.

Telethon can open a file once ours has opened it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION

from support.cli import IS_POSIX, call, changed, filled, rows_of, unchanged
from support.contents import KEY
from support.files import dump
from support.real_files import FILES, version_of
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

OLD = [path for path in FILES if version_of(path) < CURRENT_VERSION]
each_old = pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
has_8 = pytest.mark.skipif(CURRENT_VERSION < 8, reason="this Telethon has no sixth column")
CHANGES = ("create", "drop", "alter", "delete", "insert")


@contextmanager
def traced() -> Iterator[list[str]]:
    """Records the statements by which Telethon's session changes a file."""
    statements: list[str] = []
    connect = sqlite3.connect

    def tracing(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    with patch("sqlite3.connect", tracing):
        yield statements
    statements[:] = [statement for statement in statements if statement.lower().startswith(CHANGES)]


def upgrade_of(old: Path) -> list[str]:
    """Returns the statements of Telethon's upgrade. The last two update the table `version`."""
    # No release can upgrade version 1, which lacks what the first statement drops.
    is_first = version_of(old) == 1
    source = next(path for path in FILES if version_of(path) == 2) if is_first else old
    shutil.copyfile(source, "traced.session")
    with traced() as statements:
        ReferenceSQLiteSession("traced").close()
    assert [statement.split()[0] for statement in statements[-2:]] == ["delete", "insert"]
    return statements[1:] if is_first else statements


def run(path: str | Path, statements: list[str]) -> None:
    """Runs each statement in its own transaction, because a release may be interrupted between any
    two.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in statements:
            file.execute(statement)


def credentials_of(session: Any) -> tuple[Any, ...]:
    return session.dc_id, session.server_address, session.port, session.auth_key.key, session.takeout_id


def open_with_telethon(path: str) -> tuple[Any, ...]:
    """Opens and saves the file with Telethon, which uses `select *` and values by position."""
    theirs = ReferenceSQLiteSession(path)
    credentials = credentials_of(theirs)
    theirs.auth_key = theirs.auth_key
    theirs.save()
    theirs.close()
    return credentials


@each_old
def test_an_upgrade_interrupted_at_any_statement(old: Path) -> None:
    statements = upgrade_of(old)
    shutil.copyfile(old, "whole.session")
    RustSQLiteSession("whole").close()
    complete = dump("whole.session")
    for count in range(len(statements) + 1):
        path = Path(shutil.copyfile(old, f"{count}.session"))
        run(path, statements[:count])
        ours = RustSQLiteSession(path)
        credentials = credentials_of(ours)
        ours.close()
        found = dump(path)
        assert {table: rows for table, rows in found.items() if table != "schema_version"} == {
            table: rows for table, rows in complete.items() if table != "schema_version"
        }
        assert open_with_telethon(path.stem) == credentials
        assert call("check", path).code == 0


def test_creation_interrupted_at_any_statement() -> None:
    with traced() as statements:
        SQLiteSession("whole").close()
    RustSQLiteSession("ours").close()
    assert len(statements) >= 8
    for count in range(len(statements) + 1):
        path = Path(f"{count}.session")
        run(path, statements[:count])
        session = RustSQLiteSession(path)
        assert not session.auth_key
        session.close()
        assert dump(path)["schema"] == dump("ours.session")["schema"]
        SQLiteSession(path.stem).close()


def reordered(path: Path, table: str, columns: str) -> Path:
    """Recreates a table with these column declarations, in another order. Values stay in the
    columns of their names.
    """
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    run(
        path,
        [
            f"create table other ({columns})",
            f"insert into other ({names}) select {names} from {table}",
            f"drop table {table}",
            f"alter table other rename to {table}",
        ],
    )
    return path


SWAPPED = (
    "dc_id integer primary key, server_address text, port integer, auth_key blob, tmp_auth_key blob, takeout_id integer"
)
# Rows as written by a script that names the columns, and by Telethon, which does not.
ROWS = {"by name": (b"", 7), "by position": (7, b"")}


@has_8
@pytest.mark.parametrize("values", ROWS.values(), ids=ROWS)
def test_the_temporary_key_is_before_the_takeout_id(values: tuple[Any, Any]) -> None:
    path = reordered(filled(), "sessions", SWAPPED)
    assert call("check", path).code == 1
    with closing(sqlite3.connect(path)) as file, file:
        row = file.execute("select * from sessions").fetchone()
        file.execute("delete from sessions")
        file.execute("insert into sessions values (?, ?, ?, ?, ?, ?)", (*row[:4], *values))
    shutil.copyfile(path, "repaired.session")
    session = RustSQLiteSession(path)
    assert (session.takeout_id, session.auth_key.key, session.tmp_auth_key.key) == (7, KEY.key, None)
    session.close()
    assert open_with_telethon("anna")[4] == 7
    assert call("check", path).code == 0
    assert call("repair", "repaired").code == 0
    assert open_with_telethon("repaired")[4] == 7


@has_8
def test_a_temporary_key_in_the_place_of_the_takeout_id() -> None:
    """Telethon wrote the key into a table with swapped columns. There is no takeout."""
    path = reordered(filled(), "sessions", SWAPPED)
    changed(path, "update sessions set tmp_auth_key = null, takeout_id = ?", KEY.key)
    session = RustSQLiteSession(path)
    assert (session.takeout_id, session.tmp_auth_key.key) == (None, KEY.key)
    session.close()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "entities",
            "date integer, id integer primary key, phone integer, hash integer not null, name text, username text",
        ),
        ("update_state", "id integer primary key, qts integer, pts integer, seq integer, date integer"),
    ],
    ids=["entities", "update_state"],
)
def test_columns_in_another_order(table: str, columns: str) -> None:
    """Telethon writes by position: into such a table it would write a hash as a name."""
    path = filled()
    before = dump(path)
    reordered(path, table, columns)
    RustSQLiteSession(path).close()
    after = dump(path)
    assert (after[table], after["schema"]) == (before[table], sorted(before["schema"], key=after["schema"].index))
    theirs = ReferenceSQLiteSession("anna")
    theirs.set_update_state(3, theirs.get_update_state(0))
    assert theirs.get_update_state(3).pts == theirs.get_update_state(0).pts
    theirs.close()


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no such modes")
def test_a_table_with_an_own_index_is_not_reordered() -> None:
    path = reordered(filled(), "update_state", "id integer primary key, qts integer, pts integer, seq, date integer")
    changed(path, "create index mine on update_state (pts)")
    with unchanged(path):
        RustSQLiteSession(path).close()


REPAIR = "telethon-session repair"


def refusal(path: Path) -> str:
    with unchanged(path), pytest.raises(sqlite3.DatabaseError) as caught:
        RustSQLiteSession(path)
    return str(caught.value)


@pytest.mark.parametrize("version", [1, 3, 5, 6])
def test_no_version_and_possibly_outdated_entities(version: int) -> None:
    """Versions 5 and 6 have equal schemas, and version 5 has wrong access hashes."""
    old = next(path for path in FILES if version_of(path) == version)
    path = Path(shutil.copyfile(old, "it is 'old'.session"))
    changed(path, "delete from version")
    message = refusal(path)
    assert "its table `version` is empty" in message
    quoted = f"{Path.cwd()}/it is 'old'.session".replace("'", "'\"'\"'")
    assert not IS_POSIX or f"`{REPAIR} '{quoted}'`" in message
    assert call("repair", path).code in (0, 1)
    session = RustSQLiteSession(path)
    assert session.auth_key.key == rows_of(old, "sessions")[0][3]
    session.close()


@pytest.mark.parametrize(
    "statement",
    [
        "drop table entities",
        "drop table update_state",
        "alter table sessions drop column takeout_id",
        "update version set version = 0",
        "update sessions set server_address = x'00'",
        "update sessions set takeout_id = 'text'",
    ],
)
@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 35), reason="this SQLite cannot drop columns")
def test_a_refused_file_can_be_repaired(statement: str) -> None:
    path = changed(filled(), statement)
    assert f"{REPAIR} {path.absolute()}" in refusal(path) or not IS_POSIX
    call("repair", path)
    session = RustSQLiteSession(path)
    assert session.auth_key.key == KEY.key
    session.close()


def test_repair_is_not_suggested_for_another_programs_database() -> None:
    for script in ["create table version (version)", "create table sessions (id, cookie)"]:
        path = Path("other.session")
        path.unlink(missing_ok=True)
        assert REPAIR not in refusal(changed(path, script))

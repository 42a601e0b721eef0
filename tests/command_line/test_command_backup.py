"""`telethon-session backup`: copies a session that is in use."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support.cli import IS_POSIX, call, filled, run, unchanged
from support.contents import KEY
from support.files import dump
from support.real_files import FILES
from telethon_session_rust import RustSQLiteSession, RustStringSession


def contents(path: str) -> dict[str, list[Any]]:
    # SQLite gives a copy another one.
    return {what: found for what, found in dump(path).items() if what != "schema_version"}


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_a_file_of_every_version_is_copied_as_it_is(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    Path("there").mkdir()
    with unchanged(path):
        result = call("backup", "anna", "there/copy")
    assert result.code == 0 and "keep it secret" in result.err
    assert contents("there/copy.session") == contents("anna.session")
    assert [one.name for one in Path("there").iterdir()] == ["copy.session"]
    if IS_POSIX:
        assert Path("there/copy.session").stat().st_mode & 0o777 == 0o600


def test_what_is_refused() -> None:
    path = filled()
    assert "to itself" in call("backup", "anna", "./anna.session").error
    Path("copy.session").write_bytes(b"something")
    Path("text.session").write_text("not a session")
    with unchanged(path, Path("copy.session")):
        assert "replace it with --force" in call("backup", "anna", "copy").error
        assert "no such file" in call("backup", "nobody", "other").error
        assert "not a session" in call("backup", "text", "other").error
        assert "URL of a server" in call("backup", "anna", "redis://localhost/0#anna").error
    assert not Path("other.session").exists()
    assert call("backup", "anna", "copy", "--force").code == 0
    assert contents("copy.session") == contents("anna.session")


def test_a_file_in_use() -> None:
    """Of a running program, in either journal mode, with changes that are not committed."""
    filled()
    for mode in "delete", "wal":
        with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
            file.execute(f"pragma journal_mode = {mode}")
            file.execute("create table notes (text)")
            file.execute("begin immediate")
            file.execute("insert into notes values ('buy milk')")
            result = run("backup", "anna", "copy", "--force")
            assert result.code == 0, result.err
            file.execute("rollback")
            assert contents("copy.session") == contents("anna.session")
            file.execute("drop table notes")


def test_an_encrypted_login_and_an_entity_file() -> None:
    session = RustSQLiteSession("anna", encryption_key=b"k" * 32)
    session.auth_key = KEY
    session.close()
    assert call("backup", "anna", "copy").code == 0
    assert KEY.key not in Path("copy.session").read_bytes()
    ours = RustSQLiteSession("copy", encryption_key=b"k" * 32)
    assert ours.auth_key.key == KEY.key
    ours.close()

    session = RustStringSession()
    session.auth_key = KEY
    session = RustStringSession(entity_file="people")
    session.close()
    assert call("backup", "people", "people_copy").code == 0
    theirs = SQLiteSession("people_copy")
    assert not theirs.auth_key
    theirs.close()

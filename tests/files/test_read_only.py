"""`RustSQLiteSession(name, read_only=True)`: nothing is written, and what other programs write is
read.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types
from telethon.tl.types.updates import State

from support import entities
from support.contents import KEY, OTHER_KEY, STATE, populate
from support.files import dump
from support.programs import command
from support.real_files import FILES, version_of
from support.waiting import until
from telethon_session_rust import (
    RustSQLiteSession,
)
from telethon_session_rust.errors import SessionFileCorruptError, SessionFileUnavailableError, SessionFileUpgradeError

pytestmark = pytest.mark.any_release

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Python's sqlite3 in the same process")


def filled(name: str = "anna") -> Path:
    session = RustSQLiteSession(name)
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = KEY
    populate(session)
    session.close()
    return Path(f"{name}.session")


def read_only(name: Any = "anna", **options: Any) -> RustSQLiteSession:
    return RustSQLiteSession(name, read_only=True, **options)


@contextmanager
def nothing_written(folder: Path) -> Iterator[None]:
    def seen() -> Any:
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}

    before = seen(), folder.stat().st_mtime_ns
    yield
    assert (seen(), folder.stat().st_mtime_ns) == before


@contextmanager
def another_process() -> Iterator[Callable[[str], str]]:
    """Runs SQL statements on the file in another process."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command("run_sql", "anna.session"), stdin=pipe, stdout=pipe, text=True) as process:

        def execute(statement: str) -> str:
            print(statement, file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        yield execute
        process.stdin.close()


def test_everything_is_read_and_nothing_written(folder: Path) -> None:
    filled()
    with nothing_written(folder):
        session = read_only()
        assert session.auth_key.key == KEY.key and session.dc_id == 4
        assert session.get_input_entity("user1").access_hash == -104729
        assert session.get_update_state(0).pts == STATE.pts
        assert len([*session.entities()]) == 100 and len(session._sent_files()) == 1
        assert session._execute("select count(*) from entities") == (100,)
        until(session._is_loaded)

        session.process_entities([entities.user(1, 5, username="moved"), entities.user(1000, 6)])
        session.set_update_state(0, State(7, 1, entities.DATE, 1, 0))
        session.cache_file(b"2" * 16, 1, types.InputPhoto(1, 2, b""))
        session.save()
        asyncio.run(session.flush())
        assert session.delete() is False
        session.close()
        # What was learned stays, also when it is opened again.
        assert session.get_input_entity("moved").access_hash == 5
        assert session.get_input_entity(1000).access_hash == 6
        assert session.get_update_state(0).pts == 7
        assert len(session._sent_files()) == 2
        session.close()


def test_what_is_refused(folder: Path) -> None:
    with pytest.raises(SessionFileUnavailableError, match="does not exist"):
        read_only()
    with pytest.raises(ValueError, match="exclusive"):
        read_only(exclusive=True)
    with pytest.raises(ValueError, match="needs the name"):
        read_only(None)
    Path("anna.session").touch()
    with pytest.raises(SessionFileCorruptError):
        read_only()
    Path("anna.session").unlink()
    filled()
    session = read_only()
    with pytest.raises(sqlite3.NotSupportedError, match="_execute"):
        session._cursor()
    with pytest.raises(SessionFileUnavailableError, match="readonly"):
        session._execute("delete from entities")
    session.close()

    class WithCursor(RustSQLiteSession):
        def _cursor(self) -> Any:
            return super()._cursor()

    with pytest.raises(sqlite3.NotSupportedError):
        WithCursor("anna", read_only=True)
    assert [path.name for path in folder.iterdir()] == ["anna.session"]


def test_a_changed_login_is_not_saved() -> None:
    path = filled()
    before = path.read_bytes()
    session = read_only()

    # As a client does whenever it connects.
    session.auth_key = AuthKey(KEY.key)
    session.tmp_auth_key = OTHER_KEY
    session.save()
    for change in (
        lambda: setattr(session, "auth_key", OTHER_KEY),
        lambda: session.set_dc(2, "149.154.167.51", 443),
        lambda: setattr(session, "takeout_id", 5),
    ):
        change()
        for _ in range(2):
            with pytest.raises(SessionFileUnavailableError, match="read_only=True"):
                session.save()
        with pytest.raises(SessionFileUnavailableError):
            asyncio.run(session.flush())
    assert session.dc_id == 2 and session.auth_key.key == OTHER_KEY.key
    asyncio.run(session.backup("copy"))
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = KEY
    session.takeout_id = None
    session.save()
    session.close()
    assert path.read_bytes() == before
    copy = SQLiteSession("copy")
    assert copy.auth_key.key == OTHER_KEY.key and copy.dc_id == 2 and copy.takeout_id == 5
    copy.close()


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_changes_of_another_program_are_read(mode: str, folder: Path) -> None:
    filled()
    session = read_only()
    with another_process() as execute:
        assert execute(f"pragma journal_mode = {mode}") == mode
        for number in range(1, 4):
            execute(f"insert into entities values ({10**6 + number}, {number}, 'newest{number}', null, 'New', 1)")
            assert session.get_input_entity(f"newest{number}").access_hash == number
            assert session.get_input_entity("user1")
            # A newer row replaces what was learned here, an older one does not.
            session.process_entities([entities.user(50 + number, 1, username=f"learned{number}")])
            seen = 2**31 if number % 2 else 5
            execute(f"update entities set hash = 9, username = 'x{number}', date = {seen} where id = {50 + number}")
            execute(f"insert into entities values ({2 * 10**6 + number}, 1, 'sign{number}', null, null, 1)")
            assert session.get_input_entity(f"sign{number}")
            until(session._is_loaded)
            assert session.get_input_entity(50 + number).access_hash == (9 if number % 2 else 1)
        # No lock is kept.
        assert execute("pragma journal_mode = delete") == "delete"
        assert execute("begin exclusive") == "" and execute("commit") == ""
        assert execute("insert into entities values (7000000, 7, 'lastly', null, null, 1)") == ""
        assert session.get_input_entity("lastly").access_hash == 7
    session.close()
    assert [path.name for path in folder.iterdir()] == ["anna.session"]


def test_a_wal_that_was_left_is_read(folder: Path) -> None:
    filled()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute("pragma journal_mode = wal")
        file.execute("insert into entities values (1000000, 5, 'latest', null, 'Late', 1)")
        file.commit()
        Path("left").mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"anna.session{suffix}", f"left/anna.session{suffix}")
    with nothing_written(folder / "left"):
        session = read_only("left/anna")
        if sys.platform == "linux":
            assert session.get_input_entity("latest").access_hash == 5
        session.close()
    # Without one, the file is complete, and SQLite would create one.
    Path("left/anna.session-wal").unlink()
    with nothing_written(folder / "left"):
        session = read_only("left/anna")
        assert session.get_input_entity("user1")
        session.close()


def test_an_interrupted_write_is_reported(folder: Path) -> None:
    filled()
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("pragma cache_size = 1")
        file.execute("begin immediate")
        file.execute("update entities set name = hex(randomblob(2000))")
        Path("left").mkdir()
        for suffix in ("", "-journal"):
            shutil.copyfile(f"anna.session{suffix}", f"left/anna.session{suffix}")
        file.execute("rollback")
    with nothing_written(folder / "left"), pytest.raises(SessionFileUnavailableError, match="left a journal"):
        read_only("left/anna")


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_files_of_every_version(real: Path, folder: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    version = version_of(path)
    with nothing_written(folder):
        if version < 7:
            with pytest.raises(SessionFileUpgradeError, match=f"version {version}.*telethon-session upgrade"):
                read_only()
            return
        session = read_only()
        assert session.auth_key
        found = sorted(entity.marked_id for entity in session.entities())
        session.close()
    expected = RustSQLiteSession("anna")
    assert sorted(entity.marked_id for entity in expected.entities()) == found
    expected.close()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX file modes")
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_read_only_folder(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest's own folders can be entered by their owner only.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        path = filled()
        with closing(sqlite3.connect("anna.session")) as file:
            file.execute(f"pragma journal_mode = {mode}")
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        with nothing_written(Path(folder)):
            subprocess.run(command("read_read_only"), check=True)
        Path(folder).chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_reads_it_too() -> None:
    filled()
    session = read_only()
    session.process_entities([entities.user(1000, 6)])
    pid = os.fork()
    if pid == 0:
        is_right = session.get_input_entity("user3").user_id == 3 and session.get_input_entity(1000).access_hash == 6
        os._exit(0 if is_right else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert session.get_input_entity("user3").user_id == 3
    session.close()


def test_an_encrypted_login() -> None:
    session = RustSQLiteSession("anna", encryption_key=b"k" * 32)
    session.auth_key = KEY
    session.close()
    before = Path("anna.session").read_bytes()
    for keys in b"k" * 32, [b"n" * 32, b"k" * 32]:
        session = read_only(encryption_key=keys)
        assert session.auth_key.key == KEY.key
        session.save()
        session.close()
    with pytest.raises(SessionFileCorruptError):
        read_only()
    assert Path("anna.session").read_bytes() == before


@ON_LINUX
def test_beside_others_in_one_process() -> None:
    """Looking at the file drops no lock of Python's SQLite."""
    filled()
    theirs = SQLiteSession("anna")
    theirs._cursor().execute("begin immediate")
    session = read_only()
    assert session.get_input_entity("user1")
    session.close()
    with closing(sqlite3.connect("anna.session", timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
        other.execute("begin immediate")
    with another_process() as execute:
        assert "locked" in execute("begin immediate")
    theirs._conn.commit()
    theirs.close()
    assert len(dump("anna.session")["entities"]) == 100

"""`_conn`, `_cursor()` and its overrides: scripts and plugins use ours like Telethon's session."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, populate
from support.files import on_disk
from support.programs import command
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.skipif(sys.platform not in ("linux", "win32"), reason="not supported on this system")

CLASSES = [SQLiteSession, RustSQLiteSession]
both = pytest.mark.parametrize("session_class", CLASSES, ids=lambda cls: cls.__name__)
ANNIKA = entities.user(1, 7, username="annika")


@both
def test_lifetime_of_the_connection(session_class: type) -> None:
    session = session_class("anna")
    assert isinstance(session._conn, sqlite3.Connection)
    assert isinstance(session._cursor(), sqlite3.Cursor)
    assert session._cursor().connection is session._conn
    session.close()
    assert session._conn is None
    assert session._cursor().execute("select count(*) from version").fetchall() == [(1,)]
    assert session._conn is not None
    session.close()
    # A client sets the key when it reconnects.
    session.auth_key = KEY
    assert session._conn is not None
    session.close()


@both
def test_it_sees_unsaved_changes(session_class: type) -> None:
    session = session_class("anna")
    for hash in (7, 8):
        session.process_entities([entities.user(1, hash, username="annika")])
        assert session._cursor().execute("select hash from entities where username = 'annika'").fetchone() == (hash,)
        assert session._conn.execute("select id, hash from entities").fetchall() == [(1, hash)]
    session.auth_key = KEY
    assert session._conn.execute("select auth_key from sessions").fetchone() == (KEY.key,)
    session.close()


@both
def test_its_changes_are_found(session_class: type) -> None:
    session = session_class("anna")
    session.process_entities([ANNIKA, entities.user(2, 8, username="boris")])
    session.save()
    session._conn.execute("update entities set username = 'annie', hash = 9 where id = 1")
    session._conn.execute("insert into entities values (3, 10, 'carla', null, null, 1)")
    session._cursor().execute("delete from entities where id = 2")
    session._conn.execute("insert into update_state values (0, 5, 0, 1, 0)")
    session._conn.commit()
    assert session.get_input_entity("annie") == types.InputPeerUser(1, 9)
    assert session.get_input_entity("carla") == types.InputPeerUser(3, 10)
    for key in ("annika", "boris", 2):
        with pytest.raises(ValueError, match="Could not find"):
            session.get_input_entity(key)
    assert session.get_update_state(0).pts == 5
    if session_class is RustSQLiteSession:
        session._conn.execute("delete from entities where id = 3")
        session._conn.commit()
        assert {entity.id for entity in session.entities()} == {1}
    session.close()
    assert session.get_input_entity("annie") == types.InputPeerUser(1, 9)
    with pytest.raises(ValueError, match="Could not find"):
        session.get_input_entity("boris")
    session.close()


def commit_by_save(session: Any) -> None:
    session.auth_key = OTHER_KEY
    session.save()


def commit_by_close(session: Any) -> None:
    session.close()


def commit_by_flush(session: Any) -> None:
    asyncio.run(session.flush())


@pytest.mark.parametrize(
    "commit", [commit_by_save, commit_by_close, commit_by_flush], ids=lambda commit: commit.__name__
)
@both
def test_an_open_transaction_is_committed(session_class: type, commit: Callable[[Any], None]) -> None:
    """It does not block writes of the session itself, in one thread."""
    session = session_class("anna")
    if commit is commit_by_flush and session_class is SQLiteSession:
        pytest.skip("Telethon has no flush()")
    session._execute("create table notes (text)")
    session._cursor().execute("insert into notes values ('one')")
    populate(session)
    # _execute() runs in the open transaction.
    assert session._execute("select text from notes") == ("one",)
    assert session._cursor().execute("insert into notes values ('two')").rowcount == 1
    commit(session)
    assert on_disk("notes", "anna.session") == [("one",), ("two",)]
    session.close()
    assert everything_is_on_disk()


def test_a_transaction_may_be_rolled_back() -> None:
    session = RustSQLiteSession("anna")
    session._conn.execute("insert into update_state values (7, 5, 0, 1, 0)")
    session._conn.rollback()
    assert session.get_update_state(7) is None
    session.close()
    assert on_disk("update_state") == []


def test_a_partly_read_result_holds_no_lock() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    ids = [id for (id,) in session._cursor().execute("select id from entities order by id")]
    cursor = session._cursor()
    assert cursor.execute("select id from entities order by id").fetchone() == (ids[0],)
    for number in range(1, 5):
        assert next(cursor) == (ids[number],)
        session.process_entities([entities.user(10_000 + number, 1)])
        session._conn.execute("update entities set hash = 3 where id = ?", (ids[number],))
        session.save()
    assert cursor.fetchmany(2) == [(ids[5],), (ids[6],)]
    assert cursor.fetchall() == [(id,) for id in ids[7:]]
    assert cursor.fetchone() is None
    session.close()
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()
    assert len(on_disk()) == 104


def test_a_login_changed_through_the_connection_is_not_foreign() -> None:
    session = RustSQLiteSession("anna")
    session.auth_key = KEY
    session.save()
    session._conn.execute("update sessions set auth_key = ?", (OTHER_KEY.key,))
    session.save()
    session.takeout_id = 7
    session.auth_key = OTHER_KEY
    session.process_entities([ANNIKA])
    session.close()
    assert (on_disk("sessions")[0][3], len(on_disk())) == (OTHER_KEY.key, 1)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_scripts_can_set_journal_mode_and_timeout(mode: str) -> None:
    session = RustSQLiteSession("anna")
    session._conn.execute("PRAGMA busy_timeout=30000")
    assert session._conn.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    session._conn.commit()
    assert session._timeout == 30
    populate(session)
    session.close()
    assert everything_is_on_disk()


def test_a_closed_connection_is_reopened() -> None:
    session = RustSQLiteSession("anna")
    session._cursor().close()
    session._cursor().connection.close()
    session.process_entities([ANNIKA])
    session.save()
    assert session._cursor().execute("select id from entities").fetchall() == [(1,)]
    assert session.delete() is True
    assert not Path("anna.session").exists()
    session.close()


def test_the_error_of_a_session_without_a_file_says_what_to_do() -> None:
    session = RustSQLiteSession()
    assert session._conn is None
    with pytest.raises(sqlite3.NotSupportedError, match=r"give the session a name, or use session\._execute"):
        session._cursor()
    assert session._execute("select 1") == (1,)


def test_a_forked_child_does_not_use_the_parents_connection() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("Windows has no fork")
    forks = pytest.importorskip("support.forks")
    session = RustSQLiteSession("anna")
    connection = session._conn
    connection.execute("create table notes (text)")
    connection.execute("insert into notes values ('of the parent')")

    def child() -> None:
        assert session._handed_out is None
        assert session.get_update_state(0) is None
        with suppress(sqlite3.OperationalError):
            session.close()

    forks.in_a_child(child)
    assert session._conn is connection and connection.in_transaction
    session.close()
    assert on_disk("notes", "anna.session") == [("of the parent",)]


def test_an_open_transaction_at_exit_is_rolled_back() -> None:
    """`sqlite3` does this too. It does not prevent the session's changes from being saved."""
    program = subprocess.run(
        command("exit_in_transaction"), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert program.stderr == ""
    assert everything_is_on_disk()
    assert on_disk("notes", "anna.session") == []


async def test_secret_chats() -> None:
    """telethon-secret-chat from PyPI, unmodified."""
    package = pytest.importorskip("telethon_secret_chat")
    from telethon import TelegramClient
    from telethon_secret_chat.secret_methods import SecretChat

    chat = SecretChat(
        id=5, access_hash=6, auth_key=b"7", admin=True, user_id=8, in_seq_no_x=0, out_seq_no_x=1, in_seq_no=0,
        out_seq_no=0, layer=101, ttl=0, ttr=100, updated=1.0, created=2.0, mtproto=1,
        input_chat=types.InputEncryptedChat(5, 6),
    )  # fmt: skip
    for session_class in CLASSES:
        name = session_class.__name__
        client = TelegramClient(session_class(name), 1, "hash")
        manager = package.SecretChatManager(client, session=client.session)
        client.session.process_entities([ANNIKA])
        manager.session.save_chat(chat)
        client.session.save()
        assert manager.session.get_secret_chat_by_id(5).user_id == 8
        client.session.close()

        client = TelegramClient(session_class(name), 1, "hash")
        found = package.SecretChatManager(client, session=client.session).session.get_secret_chat_by_id(5)
        assert (found.id, found.auth_key, found.admin) == (5, b"7", True)
        assert client.session.get_input_entity("annika") == types.InputPeerUser(1, 7)
        client.session.close()


# Overrides as found in public programs.


def waits(base: type) -> type:
    class Waits(base):
        def _cursor(self) -> Any:
            if self._conn is None:
                self._conn = sqlite3.connect(self.filename, timeout=30, check_same_thread=False)
            return self._conn.cursor()

    return Waits


def waits_in_wal_mode(base: type) -> type:
    class WaitsInWalMode(base):
        def _cursor(self) -> Any:
            if self._conn is None:
                self._conn = sqlite3.connect(self.filename, check_same_thread=False, timeout=30.0)
                self._conn.execute("PRAGMA journal_mode=WAL;")
                self._conn.execute("PRAGMA busy_timeout=30000;")
            return self._conn.cursor()

    return WaitsInWalMode


def waits_by_pragma(base: type) -> type:
    class WaitsByPragma(base):
        def _cursor(self) -> Any:
            cursor = super()._cursor()
            cursor.execute("pragma busy_timeout=30000")
            return cursor

    return WaitsByPragma


def connects_afterwards(base: type) -> type:
    class ConnectsAfterwards(base):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._conn = sqlite3.connect(self.filename, timeout=30, check_same_thread=False)

    return ConnectsAfterwards


OVERRIDES = [waits, waits_in_wal_mode, waits_by_pragma, connects_afterwards]


@pytest.mark.parametrize("derive", OVERRIDES, ids=lambda derive: derive.__name__)
@pytest.mark.parametrize("base", CLASSES, ids=lambda cls: cls.__name__)
def test_overrides_with_a_longer_timeout_work(derive: Callable[[type], type], base: type) -> None:
    session = derive(base)("anna")
    session.auth_key = KEY
    populate(session)
    session.save()
    assert session._cursor().execute("select count(*) from entities").fetchone() == (100,)
    assert session._conn.execute("pragma busy_timeout").fetchone() == (30000,)
    assert base is SQLiteSession or session._timeout == 30
    session.close()
    session = derive(base)("anna")
    assert session.auth_key.key == KEY.key
    assert session.get_input_entity("user1").access_hash == -104729
    session.close()
    assert on_disk("sessions")[0][3] == KEY.key


class Encrypted:
    """A connection of another library, not a `sqlite3.Connection`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def cursor(self) -> Any:
        return self

    def execute(self, *_: Any) -> Any:
        raise AssertionError("not Python's sqlite3")

    def close(self) -> None:
        pass


class UsesAnotherFile(RustSQLiteSession):
    def _cursor(self) -> Any:
        if self._conn is None:
            self._conn = sqlite3.connect(self.filename + ".decrypted")
        return self._conn.cursor()


class UsesMemory(RustSQLiteSession):
    memory: Any = None

    def _cursor(self) -> Any:
        self.memory = self.memory or sqlite3.connect(":memory:")
        return self.memory.cursor()


class Encrypts(RustSQLiteSession):
    def _cursor(self) -> Any:
        return Encrypted(sqlite3.connect(":memory:")).cursor()


class EncryptsAfterwards(RustSQLiteSession):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._conn = Encrypted(sqlite3.connect(":memory:"))


UNSUPPORTED = [UsesAnotherFile, UsesMemory, Encrypts, EncryptsAfterwards]


@pytest.mark.parametrize("session_class", UNSUPPORTED, ids=lambda cls: cls.__name__)
def test_an_override_that_connects_to_something_else_is_refused(session_class: type) -> None:
    expected_message = r"unencrypted: derive the class from telethon\.sessions\.SQLiteSession"
    with pytest.raises(sqlite3.NotSupportedError, match=expected_message):
        session_class("anna")
    if session_class is not EncryptsAfterwards:
        assert not Path("anna.session").exists()
    # An existing file is unchanged.
    session = RustSQLiteSession("anna")
    session.auth_key = KEY
    session.close()
    before = Path("anna.session").read_bytes()
    with pytest.raises(sqlite3.NotSupportedError, match=expected_message):
        session_class("anna")
    assert Path("anna.session").read_bytes() == before
    Path("anna.session").write_bytes(os.urandom(4096))
    if session_class is Encrypts:
        with pytest.raises(sqlite3.NotSupportedError, match=expected_message):
            session_class("anna")


def test_a_monkeypatched_method_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RustSQLiteSession, "_cursor", Encrypts._cursor)
    with pytest.raises(sqlite3.NotSupportedError, match="unencrypted"):
        RustSQLiteSession("anna")


def test_a_connection_to_another_file_is_refused() -> None:
    session = RustSQLiteSession("anna")
    RustSQLiteSession("boris").close()
    with closing(sqlite3.connect("boris.session")) as another:
        with pytest.raises(sqlite3.NotSupportedError, match=r"sets _conn to.*anna\.session"):
            session._conn = another
        session._conn = None
    session.close()

"""A session does not overwrite a file that holds another login by now, whatever the session does
next.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.contents import KEY, OTHER_KEY, STATE
from support.counters import tally
from support.file_client import fast_folder
from support.forks import in_a_child
from support.programs import command
from telethon_session_rust import RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be moved")

FILE = Path("anna.session")
NEW_KEY = AuthKey(bytes(range(256)))
THEIRS = 1000
# Added by the session after the file got another login.
OURS = 2000


@pytest.fixture(autouse=True)
def fast(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs thousands of short sessions in memory, because none of them tests the disk."""
    with fast_folder() as fast, monkeypatch.context() as patched:
        patched.chdir(fast)
        yield


def create_login(path: Path = FILE, key: Any = OTHER_KEY, session_class: type = SQLiteSession) -> None:
    session = session_class(str(path))
    session.auth_key = key
    session.process_entities([entities.user(THEIRS, 1, username="theirs")])
    session.save()
    session.close()


def read_file(path: Path = FILE) -> tuple[bytes, set[int]]:
    with closing(sqlite3.connect(path)) as file:
        (key,) = file.execute("select auth_key from sessions").fetchone()
        return key, {id for (id,) in file.execute("select id from entities")}


# What replaces the login in the file.


def delete_and_recreate() -> None:
    FILE.unlink()
    create_login()


def delete_and_recreate_by_ours() -> None:
    FILE.unlink()
    create_login(session_class=RustSQLiteSession)


def move_and_recreate() -> None:
    FILE.rename("mine.session")
    create_login()


def replace() -> None:
    create_login(Path("theirs.session"))
    FILE.rename("mine.session")
    Path("theirs.session").replace(FILE)


def change_in_place() -> None:
    create_login()


REPLACEMENTS = [delete_and_recreate, delete_and_recreate_by_ours, move_and_recreate, replace, change_in_place]

# What the session does afterwards.


def add_entities(session: Any) -> None:
    session.process_entities([entities.user(OURS, 1, username="ours")])
    session.set_update_state(0, STATE)
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))


def set_the_old_key(session: Any) -> None:
    session.auth_key = session.auth_key


def set_a_new_key(session: Any) -> None:
    session.auth_key = NEW_KEY


def log_out(session: Any) -> None:
    session.auth_key = None


def connect(session: Any) -> None:
    """Sets the data centre as a client does for a new session."""
    session.set_dc(2, "149.154.167.51", 443)


def begin_a_takeout(session: Any) -> None:
    session.takeout_id = 7


def save(session: Any) -> None:
    session.save()


def flush(session: Any) -> None:
    async def in_a_loop() -> None:
        session.save()
        await session.flush()

    asyncio.run(in_a_loop())


def close(session: Any) -> None:
    session.close()


def look_up(session: Any) -> None:
    with suppress(ValueError):
        session.get_input_entity("theirs")


def find_a_file(session: Any) -> None:
    session.get_file(b"2" * 16, 1, types.InputPhoto)


def read(session: Any) -> None:
    session._execute("select 1")


def use_cursor(session: Any) -> None:
    session._cursor().execute("select * from version").fetchall()


def fork(session: Any) -> None:
    def child() -> None:
        with suppress(sqlite3.Error):
            add_entities(session)
            session.close()

    in_a_child(child)


def delete(session: Any) -> None:
    session.delete()


CHANGES = [add_entities, set_the_old_key, set_a_new_key, log_out, connect, begin_a_takeout]
CALLS = [save, flush, close, look_up, find_a_file, read, use_cursor, delete]


def name_of(step: Any) -> str:
    return str(getattr(step, "__name__", step))


def attempt(session: Any, step: Callable[[Any], None]) -> None:
    with suppress(sqlite3.Error):
        step(session)


def check_file(replacement: Callable[[], None], steps: list[Any]) -> None:
    """Checks that the session wrote nothing to the file.

    If the file itself was not replaced, it may be shared: then the last new login wins, as in
    Telethon. A key that the session only read never overwrites another.
    """
    if replacement is change_in_place and set_a_new_key in steps and not FILE.exists():
        # The session logged in, so it owned the file and could delete it.
        return
    key, ids = read_file()
    if replacement is change_in_place:
        assert key == OTHER_KEY.key or (key in (NEW_KEY.key, b"") and set_a_new_key in steps)
    else:
        assert key == OTHER_KEY.key
        assert OURS not in ids


def open_session(key: Any, was_open: bool) -> RustSQLiteSession:
    """Returns a session that has read its key from the file, but not set it."""
    session = RustSQLiteSession("anna")
    session.auth_key = key
    session.close()
    session = RustSQLiteSession("anna")
    if not was_open:
        session.close()
    return session


def discard(session: Any) -> None:
    """Discards a session that could not be saved, so that it does not retry."""
    for path in Path().iterdir():
        path.unlink()
    session.delete()
    tally("sessions with a replaced login")


@pytest.mark.parametrize("was_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("replacement", REPLACEMENTS, ids=name_of)
def test_each_step(replacement: Callable[[], None], key: Any, was_open: bool) -> None:
    for change in CHANGES:
        for call in [*CALLS, fork]:
            session = open_session(key, was_open)
            replacement()
            change(session)
            for step in (call, save):
                attempt(session, step)
                check_file(replacement, [change])
            discard(session)


@given(
    st.sampled_from([None, KEY]),
    st.booleans(),
    st.sampled_from(REPLACEMENTS),
    st.lists(st.sampled_from([*CHANGES, *CALLS]), min_size=1, max_size=8),
)
def test_any_order(
    key: Any, was_open: bool, replacement: Callable[[], None], steps: list[Callable[[Any], None]]
) -> None:
    session = open_session(key, was_open)
    replacement()
    for step in steps:
        attempt(session, step)
        check_file(replacement, steps)
    discard(session)


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_the_last_reference_is_dropped(key: Any) -> None:
    for replacement in REPLACEMENTS[:-1]:
        session = open_session(key, True)
        replacement()
        add_entities(session)
        set_a_new_key(session)
        del session
        gc.collect()
        check_file(replacement, [])
        FILE.unlink()


def test_the_writer_does_not_overwrite_the_login_later() -> None:
    """The first `save()` fails, and so do the writer's retries and `close()`."""
    old = RustSQLiteSession("anna")
    old.save()
    delete_and_recreate()
    old.auth_key = KEY
    with pytest.raises(sqlite3.OperationalError, match=r"anna\.session"):
        old.save()
    # `flush()` raises the writer's error, so the writer has retried.
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match=r"anna\.session holds another login"):
            asyncio.run(old.flush())
    with pytest.raises(sqlite3.OperationalError, match=r"anna\.session holds another login.*the credentials"):
        old.close()
    assert read_file()[0] == OTHER_KEY.key
    discard(old)


def test_the_program_exits() -> None:
    pipe = subprocess.PIPE
    for key in ("", KEY.key.hex()):
        FILE.unlink(missing_ok=True)
        program_command = command("lose_file", key)
        with subprocess.Popen(program_command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
            assert program.stdout.readline() == "open\n"
            delete_and_recreate()
            _, stderr = program.communicate("\n")
            assert program.returncode == 0, stderr
            assert "anna.session" in stderr
        assert read_file() == (OTHER_KEY.key, {THEIRS})


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_the_original_file_is_restored(key: Any) -> None:
    session = RustSQLiteSession("anna")
    session.auth_key = key
    session.save()
    replace()
    add_entities(session)
    session.auth_key = NEW_KEY
    for call in (session.save, session.close):
        with pytest.raises(sqlite3.OperationalError, match=r"anna\.session"):
            call()
    Path("mine.session").replace(FILE)
    session.close()
    assert read_file() == (NEW_KEY.key, {OURS})


def test_a_new_login_on_a_shared_file_wins() -> None:
    """As in Telethon, the caller that logs in last wins. A key that was only read does not count as
    a login.
    """
    session = open_session(KEY, True)
    create_login()
    begin_a_takeout(session)
    with pytest.raises(sqlite3.OperationalError, match="holds another login"):
        session.save()
    set_a_new_key(session)
    add_entities(session)
    session.close()
    assert read_file() == (NEW_KEY.key, {THEIRS, OURS})


def test_delete_keeps_another_login() -> None:
    for replacement in REPLACEMENTS:
        session = open_session(KEY, True)
        replacement()
        assert session.delete() is False
        assert read_file()[0] == OTHER_KEY.key
        discard(session)
    session = open_session(KEY, True)
    assert session.delete() is True
    # Another program creates a file of that name before the session is used again.
    create_login()
    add_entities(session)
    with pytest.raises(sqlite3.OperationalError, match="holds another login"):
        session.save()
    assert read_file() == (OTHER_KEY.key, {THEIRS})
    discard(session)


@pytest.mark.parametrize("replacement", REPLACEMENTS, ids=name_of)
def test_a_login_in_an_entity_file_is_kept(replacement: Callable[[], None]) -> None:
    session = RustStringSession(entity_file="anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    session.save()
    replacement()
    add_entities(session)
    for call in (session.save, session.close):
        with pytest.raises((sqlite3.OperationalError, ValueError), match=r"anna\.session"):
            call()
    assert session.delete() is False
    assert read_file() == (OTHER_KEY.key, {THEIRS})
    discard(session)

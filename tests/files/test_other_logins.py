"""A file that got another login is left alone, whatever the session that knew it before does next."""

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
from support.counters import tried
from support.file_client import fast_folder
from support.forks import in_a_child
from support.programs import command
from telethon_session_rust import RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody take away a file that is open")

FILE = Path("anna.session")
NEW_KEY = AuthKey(bytes(range(256)))
THEIRS = 1000
# Given by the session after the file has got another login.
OURS = 2000


@pytest.fixture(autouse=True)
def fast(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Thousands of lives, and none of them about the disk."""
    with fast_folder() as memory, monkeypatch.context() as patched:
        patched.chdir(memory)
        yield


def log_in(path: Path = FILE, key: Any = OTHER_KEY, session_class: type = SQLiteSession) -> None:
    session = session_class(str(path))
    session.auth_key = key
    session.process_entities([entities.user(THEIRS, 1, username="theirs")])
    session.save()
    session.close()


def stored(path: Path = FILE) -> tuple[bytes, set[int]]:
    with closing(sqlite3.connect(path)) as file:
        (key,) = file.execute("select auth_key from sessions").fetchone()
        return key, {id for (id,) in file.execute("select id from entities")}


# What becomes of the file.


def deleted_and_made_anew() -> None:
    FILE.unlink()
    log_in()


def deleted_and_made_anew_by_ours() -> None:
    FILE.unlink()
    log_in(session_class=RustSQLiteSession)


def moved_and_made_anew() -> None:
    FILE.rename("mine.session")
    log_in()


def replaced() -> None:
    log_in(Path("theirs.session"))
    FILE.rename("mine.session")
    Path("theirs.session").replace(FILE)


def changed_in_place() -> None:
    log_in()


LOSSES = [deleted_and_made_anew, deleted_and_made_anew_by_ours, moved_and_made_anew, replaced, changed_in_place]

# What the session does then.


def give(session: Any) -> None:
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
    """As a client does that is made for a new session."""
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


def connect_to_it(session: Any) -> None:
    session._cursor().execute("select * from version").fetchall()


def fork(session: Any) -> None:
    def child() -> None:
        with suppress(sqlite3.Error):
            give(session)
            session.close()

    in_a_child(child)


def delete(session: Any) -> None:
    session.delete()


CHANGES = [give, set_the_old_key, set_a_new_key, log_out, connect, begin_a_takeout]
CALLS = [save, flush, close, look_up, find_a_file, read, connect_to_it, delete]


def named(step: Any) -> str:
    return str(getattr(step, "__name__", step))


def tried_to(session: Any, step: Callable[[Any], None]) -> None:
    with suppress(sqlite3.Error):
        step(session)


def check(loss: Callable[[], None], steps: list[Any]) -> None:
    """Nothing of the session's has got into the file. One that is the same file still may be shared, and then the last
    who logs in has it, as in Telethon; but no key that was only read is written over another.
    """
    if loss is changed_in_place and set_a_new_key in steps and not FILE.exists():
        # It had become the session's own, to be deleted.
        return
    key, ids = stored()
    if loss is changed_in_place:
        assert key == OTHER_KEY.key or (key in (NEW_KEY.key, b"") and set_a_new_key in steps)
    else:
        assert key == OTHER_KEY.key
        assert OURS not in ids


def begin(key: Any, was_open: bool) -> RustSQLiteSession:
    """A session that has only read its key."""
    session = RustSQLiteSession("anna")
    session.auth_key = key
    session.close()
    session = RustSQLiteSession("anna")
    if not was_open:
        session.close()
    return session


def forget(session: Any) -> None:
    """Ends a session that could not be saved, so that it is not tried again."""
    for path in Path().iterdir():
        path.unlink()
    session.delete()
    tried("lives with a file that got another login")


@pytest.mark.parametrize("was_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("loss", LOSSES, ids=named)
def test_each_step_alone(loss: Callable[[], None], key: Any, was_open: bool) -> None:
    for change in CHANGES:
        for call in [*CALLS, fork]:
            session = begin(key, was_open)
            loss()
            change(session)
            for step in (call, save):
                tried_to(session, step)
                check(loss, [change])
            forget(session)


@given(
    st.sampled_from([None, KEY]),
    st.booleans(),
    st.sampled_from(LOSSES),
    st.lists(st.sampled_from([*CHANGES, *CALLS]), min_size=1, max_size=8),
)
def test_any_order(key: Any, was_open: bool, loss: Callable[[], None], steps: list[Callable[[Any], None]]) -> None:
    session = begin(key, was_open)
    loss()
    for step in steps:
        tried_to(session, step)
        check(loss, steps)
    forget(session)


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_the_last_reference_goes(key: Any) -> None:
    for loss in LOSSES[:-1]:
        session = begin(key, True)
        loss()
        give(session)
        set_a_new_key(session)
        del session
        gc.collect()
        check(loss, [])
        FILE.unlink()


def test_the_writer_does_not_do_it_later() -> None:
    """The first attempt is told; the writer tries again, and so does `close()`."""
    old = RustSQLiteSession("anna")
    old.save()
    deleted_and_made_anew()
    old.auth_key = KEY
    with pytest.raises(sqlite3.OperationalError, match=r"anna\.session"):
        old.save()
    # An awaited flush is told by the writer, so it has tried.
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match=r"anna\.session holds another login"):
            asyncio.run(old.flush())
    with pytest.raises(sqlite3.OperationalError, match=r"anna\.session holds another login.*the credentials"):
        old.close()
    assert stored()[0] == OTHER_KEY.key
    forget(old)


def test_the_program_ends() -> None:
    pipe = subprocess.PIPE
    for key in ("", KEY.key.hex()):
        FILE.unlink(missing_ok=True)
        lose_it = command("lose_its_file", key)
        with subprocess.Popen(lose_it, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
            assert program.stdout.readline() == "open\n"
            deleted_and_made_anew()
            _, said = program.communicate("\n")
            assert program.returncode == 0, said
            assert "anna.session" in said
        assert stored() == (OTHER_KEY.key, {THEIRS})


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
def test_its_own_file_comes_back(key: Any) -> None:
    session = RustSQLiteSession("anna")
    session.auth_key = key
    session.save()
    replaced()
    give(session)
    session.auth_key = NEW_KEY
    for call in (session.save, session.close):
        with pytest.raises(sqlite3.OperationalError, match=r"anna\.session"):
            call()
    Path("mine.session").replace(FILE)
    session.close()
    assert stored() == (NEW_KEY.key, {OURS})


def test_a_new_login_on_a_shared_file_is_the_last_one() -> None:
    """As in Telethon: its caller has logged in after the other program. A key that was only read is no login."""
    session = begin(KEY, True)
    log_in()
    begin_a_takeout(session)
    with pytest.raises(sqlite3.OperationalError, match="holds another login"):
        session.save()
    set_a_new_key(session)
    give(session)
    session.close()
    assert stored() == (NEW_KEY.key, {THEIRS, OURS})


def test_a_login_is_not_deleted_by_another_session() -> None:
    for loss in LOSSES:
        session = begin(KEY, True)
        loss()
        assert session.delete() is False
        assert stored()[0] == OTHER_KEY.key
        forget(session)
    session = begin(KEY, True)
    assert session.delete() is True
    # Somebody else has taken the name before the session is used again.
    log_in()
    give(session)
    with pytest.raises(sqlite3.OperationalError, match="holds another login"):
        session.save()
    assert stored() == (OTHER_KEY.key, {THEIRS})
    forget(session)


@pytest.mark.parametrize("loss", LOSSES, ids=named)
def test_an_entity_file_that_got_a_login(loss: Callable[[], None]) -> None:
    session = RustStringSession(entity_file="anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    session.save()
    loss()
    give(session)
    for call in (session.save, session.close):
        with pytest.raises((sqlite3.OperationalError, ValueError), match=r"anna\.session"):
            call()
    assert session.delete() is False
    assert stored() == (OTHER_KEY.key, {THEIRS})
    forget(session)

"""`await session.backup(path)` of every session without a server: whole, at one moment, while the
session is in use.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl import types
from telethon.tl.types.updates import State

from support import entities
from support.contents import KEY, STATE, populate
from support.files import dump
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession
from telethon_session_rust.errors import SessionFileUnavailableError

pytestmark = pytest.mark.any_release

TABLES = ("entities", "update_state", "sent_files")
OPEN: dict[str, Callable[[], Any]] = {
    "file": lambda: RustSQLiteSession("anna"),
    "memory": RustMemorySession,
    "no name": lambda: RustSQLiteSession(None),
    "string": RustStringSession,
    "entity file": lambda: RustStringSession(entity_file="people"),
    "encrypted": lambda: RustSQLiteSession("anna", encryption_key=b"k" * 32),
}


@pytest.fixture(params=OPEN)
def session(request: pytest.FixtureRequest) -> Any:
    session = OPEN[request.param]()
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = KEY
    yield session
    session.close()


def back_up(session: Any, name: str = "copy", **options: bool) -> Path:
    return asyncio.run(session.backup(name, **options))


def contents(path: Path | str) -> dict[str, list[Any]]:
    # SQLite gives a copy another one.
    return {what: found for what, found in dump(path).items() if what != "schema_version"}


def rows(path: Path | str) -> dict[str, list[Any]]:
    return {table: dump(path)[table] for table in TABLES}


def test_everything_is_in_it(session: Any, folder: Path) -> None:
    populate(session)
    assert back_up(session) == folder / "copy.session"
    # Nothing was saved before, and the session goes on.
    session.process_entities([entities.user(1000, 1)])
    copied = rows("copy.session")
    assert [len(copied[table]) for table in TABLES] == [100, 1, 1]
    assert not [path for path in folder.iterdir() if path.name.startswith((".", "copy.session-"))]
    if os.name == "posix":
        assert stat.S_IMODE(Path("copy.session").stat().st_mode) == 0o600

    theirs = SQLiteSession("copy")
    is_encrypted = bool(theirs.auth_key and theirs.auth_key.key != KEY.key)
    assert (theirs.dc_id, theirs.server_address, theirs.port) == (4, "149.154.167.91", 443)
    for key in ("user1", "+7 999 0000001", "Анна 1 Π", -7, types.PeerChannel(5), 8):
        assert theirs.get_input_entity(key) == session.get_input_entity(key)
    assert theirs.get_update_state(0).to_dict() == STATE.to_dict()
    theirs.close()
    assert is_encrypted == (KEY.key not in Path("copy.session").read_bytes())
    ours = RustSQLiteSession("copy", encryption_key=b"k" * 32 if is_encrypted else None)
    assert ours.auth_key.key == KEY.key
    ours.close()
    # Telethon's tables, and nothing else.
    SQLiteSession("new").close()
    assert dump("copy.session")["schema"] == dump("new.session")["schema"]


def test_a_copy_of_a_file_is_the_file() -> None:
    session = RustSQLiteSession("anna")
    session._conn.execute("create table notes (text)")
    session._conn.execute("insert into notes values ('buy milk')")
    populate(session)
    session.save()
    back_up(session)
    session.close()
    assert contents("copy.session") == contents("anna.session")


def test_a_file_in_wal_mode_becomes_one_file(folder: Path) -> None:
    session = RustSQLiteSession("anna")
    with closing(sqlite3.connect("anna.session")) as other:
        other.execute("pragma journal_mode = wal")
        populate(session)
        asyncio.run(session.flush())
        other.execute("create table notes (text)")
        session.set_update_state(5, State(1, 2, entities.DATE, 3, 0))
        back_up(session)
    session.close()
    assert sorted(path.name for path in folder.glob("copy*")) == ["copy.session"]
    assert contents("copy.session") == contents("anna.session")


def test_nothing_is_overwritten_unless_asked(session: Any, folder: Path) -> None:
    populate(session)
    for name, contents in ("copy", b"something"), ("beside", b""):
        Path(f"{name}.session").write_bytes(contents)
    before = sorted(folder.iterdir())
    with pytest.raises(FileExistsError, match=r"copy\.session already exists"):
        back_up(session)
    Path("beside.session-wal").write_bytes(b"w" * 100)
    with pytest.raises(SessionFileUnavailableError, match=r"beside\.session-wal lies beside it"):
        back_up(session, "beside", overwrite=True)
    Path("beside.session-wal").unlink()
    assert sorted(folder.iterdir()) == before and Path("copy.session").read_bytes() == b"something"
    Path("link.session").symlink_to("copy.session")
    back_up(session, "link", overwrite=True)
    assert Path("link.session").is_symlink()
    assert len(rows("copy.session")["entities"]) == 100
    with pytest.raises(SessionFileUnavailableError, match="its folder does not exist"):
        back_up(session, "nowhere/copy")
    Path("here.session").mkdir()
    with pytest.raises(SessionFileUnavailableError, match="not a regular file"):
        back_up(session, "here", overwrite=True)
    if session._own_file():
        with pytest.raises(ValueError, match="own file"):
            back_up(session, session._own_file(), overwrite=True)


def add(session: Any, number: int) -> None:
    session.process_entities([entities.user(number, number)])
    session.set_update_state(0, State(number, 1, entities.DATE, 1, 0))


def test_it_is_of_one_moment(session: Any) -> None:
    """A thread adds an entity and then the update state with its number, without a pause."""
    is_over = threading.Event()

    def run() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            add(session, number)
            if number % 50 == 0:
                session.save()
                # Otherwise the session would grow faster than it is copied.
                time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    numbers = []
    try:
        until(lambda: session.get_update_state(0) is not None)
        for _ in range(5):
            copied = rows(back_up(session, overwrite=True))
            ids = sorted(row[0] for row in copied["entities"])
            number = copied["update_state"][0][1]
            assert ids == list(range(1, len(ids) + 1))
            assert len(ids) - number in (0, 1), (len(ids), number)
            numbers.append(number)
    finally:
        is_over.set()
        thread.join()
    assert numbers == sorted(numbers) and numbers[0] > 0


class ChangedWhenAsked(RustMemorySession):
    """Changes when it is asked for its update states, as if another thread ran then."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self.left = changes
        self.number = 0

    def get_update_states(self) -> Any:
        if self.left:
            self.left -= 1
            self.number += 1
            add(self, self.number)
        return super().get_update_states()


@pytest.mark.parametrize("changes", [1, 10, 10**9])
def test_other_threads_run_during_the_last_step(changes: int) -> None:
    copied = rows(back_up(ChangedWhenAsked(changes)))
    (state,) = copied["update_state"]
    assert sorted(row[0] for row in copied["entities"]) == list(range(1, state[1] + 1))


def test_what_is_removed_meanwhile_is_not_in_it() -> None:
    session = RustMemorySession()
    session.process_entities(entities.crowd(3000))
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            session._entities.clear()
            session.process_entities(entities.crowd(3000))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(3):
            assert len(rows(back_up(session, overwrite=True))["entities"]) in (0, 3000)
    finally:
        is_over.set()
        thread.join()


def test_the_event_loop_goes_on(session: Any, folder: Path) -> None:
    session._put_rows((id, 1, f"user{id}", None, f"Anna {id}") for id in range(1, 100_001))

    async def run() -> int:
        backup = asyncio.ensure_future(session.backup("copy"))
        turns = 0
        while not backup.done():
            await asyncio.sleep(0)
            session.process_entities([entities.user(turns + 1, 2)])
            turns += 1
        await backup
        with pytest.raises(asyncio.CancelledError):
            cancelled = asyncio.ensure_future(session.backup("never"))
            await asyncio.sleep(0)
            cancelled.cancel()
            await cancelled
        return turns

    # The end of the loop waits for the thread that was stopped.
    assert asyncio.run(run()) > 10
    assert len(rows("copy.session")["entities"]) >= 100_000
    assert not [path.name for path in folder.iterdir() if "never" in path.name]


def test_an_override_of_a_storage_is_asked() -> None:
    class Storage(RustMemorySession):
        @property
        def auth_key(self) -> Any:
            return KEY

        @property
        def dc_id(self) -> int:
            return 3

    back_up(Storage())
    assert StringSession.save(SQLiteSession("copy")).startswith("1A")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_a_full_disk_leaves_nothing(session: Any, folder: Path) -> None:
    import resource
    import signal

    session._put_rows((id, 1, None, None, f"Anna {id}") for id in range(1, 5001))
    session.save()
    before = sorted(folder.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(SessionFileUnavailableError, match=r"copy\.session"):
            back_up(session)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(folder.iterdir()) == before

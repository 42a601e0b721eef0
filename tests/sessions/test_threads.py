"""One session used by several threads, many by many, and one file opened by many."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from telethon.sessions.sqlite import CURRENT_VERSION
from telethon.tl import types

from support import entities
from support.counters import tried
from support.files import dump, on_disk
from support.real_files import FILES, version_of
from support.threads import THREADS, Thread, check, in_threads
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession

pytestmark = pytest.mark.any_release


@pytest.fixture(autouse=True)
def hurry() -> Iterator[None]:
    """Has the interpreter go from thread to thread more often than it likes to."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


CROWD = entities.crowd(4000)
BY_ID = {entity.id: entity for entity in CROWD}


def live(session: Any, seed: int) -> None:
    """Whoever has been told of is found at once, whatever the other threads do."""
    choice = random.Random(seed)
    for n in range(300):
        page = choice.sample(CROWD, 10)
        session.process_entities(page)
        for entity in page:
            peer = session.get_input_entity(entity.id)
            assert peer.to_dict().get("access_hash", 0) == getattr(entity, "access_hash", 0)
            if getattr(entity, "username", None):
                assert session.get_input_entity(f"@{entity.username}").access_hash == entity.access_hash
        session.set_update_state(seed, types.updates.State(n, 1, entities.DATE, 1, 0))
        assert session.get_update_state(seed).pts == n
        session.cache_file(n.to_bytes(16, "big"), seed, types.InputPhoto(n, seed, b""))
        if n % 50 == seed:
            session.save()


@pytest.mark.parametrize("session", [RustMemorySession, RustSQLiteSession])
def test_eight_threads(session: Any) -> None:
    session = session()
    in_threads(lambda seed: live(session, seed))


def test_eight_threads_and_the_file() -> None:
    session = RustSQLiteSession("anna")
    in_threads(lambda seed: live(session, seed))
    session.process_entities(CROWD)
    session.close()
    rows = dump("anna.session")
    assert [len(rows[table]) for table in ("entities", "update_state", "sent_files")] == [4000, 8, 2400]


def test_a_hundred_sessions_are_closed_by_threads() -> None:
    def visit(n: int) -> None:
        session = RustSQLiteSession(f"session_{n}")
        session.process_entities(CROWD[n * 10 : n * 10 + 10])
        session.save()
        session.close()

    tried("threads", THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(visit, range(100)))
    assert all(len(dump(f"session_{n}.session")["entities"]) == 10 for n in range(100))


@pytest.mark.parametrize(
    "make",
    [RustMemorySession, RustSQLiteSession, lambda: RustSQLiteSession("anna")],
    ids=["memory", "no file", "file"],
)
def test_everything_at_once(make: Callable[[], Any]) -> None:
    session = make()
    lives = in_threads(lambda number: Thread(number, [session]).live(600))
    for life in lives:
        life.find(session)
    session.save()
    session.close()
    if session.__class__ is RustSQLiteSession and session.filename != ":memory:":
        check(lives, session)


def test_everything_at_once_with_many_sessions() -> None:
    sessions = [RustSQLiteSession(f"session_{n}") for n in range(20)]
    lives = in_threads(lambda number: Thread(number, sessions).live(600))
    for session in sessions:
        session.close()
        check(lives, session)


def wait_for(session: Any, username: str) -> None:
    """A lookup does not wait long for a file that others are writing, so it may take more than one."""

    def is_found() -> bool:
        try:
            return session.get_input_entity(username).access_hash == 5
        except ValueError:
            return False

    until(is_found)


def test_one_file_is_opened_by_all() -> None:
    def visit(number: int) -> None:
        for turn in range(20):
            session = RustSQLiteSession("anna")
            somebody = entities.user(100 * number + turn + 1, 5, username=f"of_{number}_{turn}")
            session.process_entities([somebody])
            session.save()
            for earlier in range(turn + 1):
                wait_for(session, f"of_{number}_{earlier}")
            session.close()

    in_threads(visit)
    assert len(dump("anna.session")["entities"]) == THREADS * 20


def open_at_once(names: list[str]) -> None:
    """All threads open each, together."""
    barrier = Barrier(THREADS)
    errors = []

    def visit(number: int) -> None:
        for name in names:
            barrier.wait()
            try:
                RustSQLiteSession(name)
            except sqlite3.Error as error:
                errors.append(str(error))

    in_threads(visit)
    assert errors == []


def test_new_files_are_made_by_all_at_once() -> None:
    """The first makes the tables, and whoever comes meanwhile waits for them."""
    open_at_once([f"session_{n}" for n in range(300)])


def test_old_files_are_upgraded_by_all_at_once() -> None:
    names = [f"{path.stem}_{n}" for path in FILES for n in range(5)]
    for path in FILES:
        for n in range(5):
            shutil.copyfile(path, f"{path.stem}_{n}.session")
    open_at_once(names)
    assert {version_of(f"{name}.session") for name in names} <= {CURRENT_VERSION, 8}


def test_lookups_while_one_saves() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    saved = Event()

    def visit(number: int) -> int:
        if number == 0:
            for _ in range(5):
                session.process_entities(CROWD)
                session.save()
            saved.set()
            return 1
        choice = random.Random(number)
        count = 0
        while not saved.is_set() or not count:
            entity = choice.choice(CROWD)
            assert session.get_input_entity(types.PeerChat(entity.id) if isinstance(entity, types.Chat) else entity)
            count += 1
        return count

    assert all(in_threads(visit))
    assert len(on_disk()) == len(CROWD)


class Broken(entities.TLObject):
    """What raises when it is looked at."""

    @property
    def users(self) -> Any:
        raise RuntimeError("broken")


def test_errors_of_one_thread_are_its_own() -> None:
    session = RustSQLiteSession("anna")

    def visit(number: int) -> Any:
        life = Thread(number, [session])
        for _ in range(100):
            if number % 2:
                with pytest.raises(RuntimeError, match="broken"):
                    session.process_entities(Broken())
                with pytest.raises(AttributeError):
                    session.set_update_state(0, None)
                with pytest.raises(TypeError):
                    session.cache_file(b"1", 1, None)
                with pytest.raises(ValueError):
                    session.get_input_entity([])
            else:
                life.live(5)
        return life

    lives = in_threads(visit)
    session.close()
    check(lives, session)

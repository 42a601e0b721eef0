"""One session, many sessions and one file, each used by several threads."""

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
from support.counters import tally
from support.files import dump, on_disk
from support.real_files import FILES, version_of
from support.threads import THREADS, Thread, check, in_threads
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession

pytestmark = pytest.mark.any_release


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Makes the interpreter switch threads more often than by default."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


CROWD = entities.crowd(4000)
BY_ID = {entity.id: entity for entity in CROWD}


def use(session: Any, seed: int) -> None:
    """Checks that received entities are found at once, whatever the other threads do."""
    rng = random.Random(seed)
    for n in range(300):
        page = rng.sample(CROWD, 10)
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
    in_threads(lambda seed: use(session, seed))


def test_eight_threads_with_a_file() -> None:
    session = RustSQLiteSession("anna")
    in_threads(lambda seed: use(session, seed))
    session.process_entities(CROWD)
    session.close()
    rows = dump("anna.session")
    assert [len(rows[table]) for table in ("entities", "update_state", "sent_files")] == [4000, 8, 2400]


def test_a_hundred_sessions_in_threads() -> None:
    def use_session(n: int) -> None:
        session = RustSQLiteSession(f"session_{n}")
        session.process_entities(CROWD[n * 10 : n * 10 + 10])
        session.save()
        session.close()

    tally("threads", THREADS)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(use_session, range(100)))
    assert all(len(dump(f"session_{n}.session")["entities"]) == 10 for n in range(100))


@pytest.mark.parametrize(
    "make",
    [RustMemorySession, RustSQLiteSession, lambda: RustSQLiteSession("anna")],
    ids=["memory", "no file", "file"],
)
def test_all_operations_at_once(make: Callable[[], Any]) -> None:
    session = make()
    users = in_threads(lambda number: Thread(number, [session]).run(600))
    for user in users:
        user.find_known(session)
    session.save()
    session.close()
    if session.__class__ is RustSQLiteSession and session.filename != ":memory:":
        check(users, session)


def test_all_operations_at_once_with_many_sessions() -> None:
    sessions = [RustSQLiteSession(f"session_{n}") for n in range(20)]
    users = in_threads(lambda number: Thread(number, sessions).run(600))
    for session in sessions:
        session.close()
        check(users, session)


def wait_for(session: Any, username: str) -> None:
    """Repeats a lookup until it succeeds, because it does not wait long for a file that others are
    writing.
    """

    def is_found() -> bool:
        try:
            return session.get_input_entity(username).access_hash == 5
        except ValueError:
            return False

    until(is_found)


def test_all_threads_open_one_file() -> None:
    def use_file(number: int) -> None:
        for turn in range(20):
            session = RustSQLiteSession("anna")
            user = entities.user(100 * number + turn + 1, 5, username=f"of_{number}_{turn}")
            session.process_entities([user])
            session.save()
            for earlier in range(turn + 1):
                wait_for(session, f"of_{number}_{earlier}")
            session.close()

    in_threads(use_file)
    assert len(dump("anna.session")["entities"]) == THREADS * 20


def open_at_once(names: list[str]) -> None:
    """Opens each file in all threads at once."""
    barrier = Barrier(THREADS)
    errors = []

    def open_each(number: int) -> None:
        for name in names:
            barrier.wait()
            try:
                RustSQLiteSession(name)
            except sqlite3.Error as error:
                errors.append(str(error))

    in_threads(open_each)
    assert errors == []


def test_all_threads_create_one_file_at_once() -> None:
    """The first thread creates the tables, and the others wait for them."""
    open_at_once([f"session_{n}" for n in range(300)])


def test_all_threads_upgrade_one_file_at_once() -> None:
    names = [f"{path.stem}_{n}" for path in FILES for n in range(5)]
    for path in FILES:
        for n in range(5):
            shutil.copyfile(path, f"{path.stem}_{n}.session")
    open_at_once(names)
    assert {version_of(f"{name}.session") for name in names} <= {CURRENT_VERSION, 8}


def test_lookups_while_another_thread_saves() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    saved = Event()

    def save_or_look_up(number: int) -> int:
        if number == 0:
            for _ in range(5):
                session.process_entities(CROWD)
                session.save()
            saved.set()
            return 1
        rng = random.Random(number)
        count = 0
        while not saved.is_set() or not count:
            entity = rng.choice(CROWD)
            assert session.get_input_entity(types.PeerChat(entity.id) if isinstance(entity, types.Chat) else entity)
            count += 1
        return count

    assert all(in_threads(save_or_look_up))
    assert len(on_disk()) == len(CROWD)


class Broken(entities.TLObject):
    """Raises when its users are read."""

    @property
    def users(self) -> Any:
        raise RuntimeError("broken")


def test_errors_of_one_thread_do_not_affect_others() -> None:
    session = RustSQLiteSession("anna")

    def use_or_fail(number: int) -> Any:
        user = Thread(number, [session])
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
                user.run(5)
        return user

    users = in_threads(use_or_fail)
    session.close()
    check(users, session)

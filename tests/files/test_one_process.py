"""One file, one process: several of our sessions, Python's own `sqlite3` and Telethon's session, all at once.

Python's SQLite and ours are two copies. By POSIX locks, which belong to the process, neither would know what the other
has locked, and whichever closes the file first would take the other's locks with it (sqlite.org/howtocorrupt.html,
2.2.1).
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support import entities
from support.contents import KEY, tell_everything
from support.counters import tried
from support.files import dump
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not promised")]

SECONDS = 6.0


class Crew:
    """Threads that do the same again and again until the time is over; the first error of any ends the test."""

    def __init__(self) -> None:
        self.end = time.monotonic() + SECONDS
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.counts: dict[str, int] = {}

    def add(self, what: str, call: Callable[[int], None]) -> None:
        def work() -> None:
            n = 0
            try:
                while time.monotonic() < self.end and not self.errors:
                    call(n)
                    n += 1
            except BaseException as error:
                self.errors.append(error)
            self.counts[what] = self.counts.get(what, 0) + n

        self.threads.append(threading.Thread(target=work))

    def run(self) -> None:
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        for error in self.errors:
            raise error
        for what, count in self.counts.items():
            tried(f"{what}, in one process", count)


def page(first: int, n: int) -> list[Any]:
    return [entities.user(first + id, n, username=f"user{first + id}", first_name="x" * 200) for id in range(50)]


def read_whole(path: str = "anna.session") -> None:
    """As a viewer, a backup or a script does: opens, reads everything, closes."""
    with closing(sqlite3.connect(path, timeout=30)) as file:
        assert file.execute("pragma integrity_check").fetchall() == [("ok",)]
        # A page of rows is written in one transaction.
        hashes = file.execute("select count(distinct hash) from entities where id <= 50").fetchone()
        assert hashes[0] <= 1


def test_python_reads_while_ours_write() -> None:
    sessions = [RustSQLiteSession("anna") for _ in range(3)]
    crew = Crew()

    def write(n: int) -> None:
        session = sessions[n % 3]
        session.process_entities(page(1 if n % 3 == 0 else 1000 * (n % 3), n))
        session.save()

    crew.add("writes of ours", write)
    crew.add("readings by Python's sqlite3", lambda _: read_whole())
    crew.add("looks at the file", lambda _: Path("anna.session").read_bytes())
    crew.run()
    for session in sessions:
        session.close()
    assert len(dump("anna.session")["entities"]) == 150


def test_python_and_telethon_write_too() -> None:
    ours = RustSQLiteSession("anna")
    crew = Crew()

    def by_ours(n: int) -> None:
        ours.process_entities(page(1, n))
        ours.save()

    def by_telethon(n: int) -> None:
        # Telethon's own waits five seconds for a lock.
        session = SQLiteSession("anna")
        session.process_entities(page(2000, n))
        session.save()
        session.close()

    def by_python(n: int) -> None:
        with closing(sqlite3.connect("anna.session", timeout=60)) as file, file:
            file.execute("insert or replace into update_state values (7, ?, 0, 0, 0)", (n,))

    crew.add("writes of ours", by_ours)
    crew.add("writes of Telethon's", by_telethon)
    crew.add("writes by Python's sqlite3", by_python)
    crew.run()
    ours.close()
    rows = dump("anna.session")
    assert (len(rows["entities"]), len(rows["update_state"])) == (100, 1)
    assert ours.get_input_entity("user2007").user_id == 2007


def test_ours_open_and_close_while_telethon_holds_a_transaction() -> None:
    """A `close()` takes nobody's locks with it."""
    telethons = SQLiteSession("anna")
    telethons.process_entities(page(1, 7))  # Its transaction stays open until `save()`.
    for _ in range(20):
        session = RustSQLiteSession("anna")
        assert session.get_entity_rows_by_username("user7") is None
        session._execute("select * from entities")
        session.close()
    locked = pytest.raises(sqlite3.OperationalError, match="locked")
    with closing(sqlite3.connect("anna.session", timeout=0)) as file, locked:
        file.execute("begin immediate")
    ours = RustSQLiteSession("anna")
    ours.process_entities(page(1000, 8))
    telethons.save()
    telethons.close()
    ours.close()
    assert len(dump("anna.session")["entities"]) == 100


async def test_ours_are_not_disturbed_by_readers() -> None:
    """A reader that sits on the file keeps ours from writing, not the event loop from going on; nothing is lost."""
    session = RustSQLiteSession("anna")
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("begin")
        file.execute("select * from version").fetchall()
        tell_everything(session)
        session.save()
        await asyncio.sleep(1)
        assert file.execute("select count(*) from entities").fetchone() == (0,)
        file.execute("commit")
    await session.flush()
    assert len(dump("anna.session")["entities"]) == 100


def test_no_descriptor_is_left_open() -> None:
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        for n in range(50):
            session = RustSQLiteSession("anna")
            session.auth_key = KEY
            session.save()
            file.execute("begin")
            if n % 2:
                # Ours may not let go of the file yet: with it the reader's lock would go.
                file.execute("select * from sqlite_master").fetchall()
            session.close()
            file.execute("rollback")
    RustSQLiteSession("anna").close()
    assert Path("anna.session").absolute() not in [link.resolve() for link in Path("/proc/self/fd").iterdir()]

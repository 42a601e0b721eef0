"""Several of our sessions, Python's `sqlite3` and Telethon's session use one file in one process at
once.

Python's SQLite and ours are two copies. With POSIX locks, which belong to the process, neither
would see the other's locks, and closing the file in one would release the other's locks
(sqlite.org/howtocorrupt.html, 2.2.1).
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support import entities
from support.contents import KEY, populate
from support.counters import tally
from support.files import dump
from support.waiting import TIMEOUT
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="guaranteed on Linux only")]

SECONDS = 6.0


class Threads:
    """Threads that repeat their calls until the time is over. The first error in any of them fails
    the test.
    """

    def __init__(self) -> None:
        self.end = time.monotonic() + SECONDS
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.counts: dict[str, int] = {}

    def add(self, name: str, call: Callable[[int], None]) -> None:
        def work() -> None:
            number = 0
            try:
                while time.monotonic() < self.end and not self.errors:
                    call(number)
                    number += 1
            except BaseException as error:
                self.errors.append(error)
            self.counts[name] = self.counts.get(name, 0) + number

        self.threads.append(threading.Thread(target=work))

    def run(self) -> None:
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        for error in self.errors:
            raise error
        for name, count in self.counts.items():
            tally(f"{name}, in one process", count)


def page(first: int, number: int) -> list[Any]:
    return [entities.user(first + id, number, username=f"user{first + id}", first_name="x" * 200) for id in range(50)]


def read_all(path: str = "anna.session") -> None:
    """Opens the file, reads everything and closes it, as a viewer, a backup or a script does."""
    with closing(sqlite3.connect(path, timeout=TIMEOUT)) as file:
        assert file.execute("pragma integrity_check").fetchall() == [("ok",)]
        # A batch is written in one transaction.
        hashes = file.execute("select count(distinct hash) from entities where id <= 50").fetchone()
        assert hashes[0] <= 1


def test_python_reads_while_sessions_write() -> None:
    sessions = [RustSQLiteSession("anna") for _ in range(3)]
    threads = Threads()

    def write(number: int) -> None:
        session = sessions[number % 3]
        session.process_entities(page(1 if number % 3 == 0 else 1000 * (number % 3), number))
        session.save()

    threads.add("writes by ours", write)
    threads.add("reads by Python's sqlite3", lambda _: read_all())
    threads.add("raw reads of the file", lambda _: Path("anna.session").read_bytes())
    threads.run()
    for session in sessions:
        session.close()
    assert len(dump("anna.session")["entities"]) == 150


def test_python_and_telethon_write(monkeypatch: pytest.MonkeyPatch) -> None:
    # Python waits five seconds for a lock by default, which can be too short on a busy machine.
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=TIMEOUT))
    ours = RustSQLiteSession("anna")
    threads = Threads()

    def by_ours(number: int) -> None:
        ours.process_entities(page(1, number))
        ours.save()

    def by_telethon(number: int) -> None:
        session = SQLiteSession("anna")
        session.process_entities(page(2000, number))
        session.save()
        session.close()

    def by_python(number: int) -> None:
        with closing(sqlite3.connect("anna.session")) as file, file:
            file.execute("insert or replace into update_state values (7, ?, 0, 0, 0)", (number,))

    threads.add("writes by ours", by_ours)
    threads.add("writes by Telethon", by_telethon)
    threads.add("writes by Python's sqlite3", by_python)
    threads.run()
    ours.close()
    rows = dump("anna.session")
    assert (len(rows["entities"]), len(rows["update_state"])) == (100, 1)
    assert ours.get_input_entity("user2007").user_id == 2007


def test_close_keeps_telethons_locks() -> None:
    """`close()` releases no locks of other connections."""
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


async def test_a_reader_delays_writes_but_not_the_loop() -> None:
    """An open read transaction delays writes, but does not block the event loop. Nothing is lost."""
    session = RustSQLiteSession("anna")
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("begin")
        file.execute("select * from version").fetchall()
        populate(session)
        session.save()
        await asyncio.sleep(1)
        assert file.execute("select count(*) from entities").fetchone() == (0,)
        file.execute("commit")
    await session.flush()
    assert len(dump("anna.session")["entities"]) == 100


def test_no_descriptor_leaks() -> None:
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        for number in range(50):
            session = RustSQLiteSession("anna")
            session.auth_key = KEY
            session.save()
            file.execute("begin")
            if number % 2:
                # The session must not close the file yet, because that would release the reader's
                # lock.
                file.execute("select * from sqlite_master").fetchall()
            session.close()
            file.execute("rollback")
    RustSQLiteSession("anna").close()
    assert Path("anna.session").absolute() not in [link.resolve() for link in Path("/proc/self/fd").iterdir()]

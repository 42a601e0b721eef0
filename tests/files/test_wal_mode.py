"""A file is switched to WAL mode or back, at any time and by any process: nothing is lost, and
nothing fails.

Python's SQLite and ours are two copies. When either closes the file, it must keep the WAL with the
other's changes.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support import entities
from support.contents import KEY, OTHER_KEY
from support.counters import tally
from support.files import dump, on_disk
from support.profile import PROFILE
from support.programs import command
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guaranteed on Linux only")

RUNS = {"quick": 3, "long": 100}.get(PROFILE, 12)


@contextmanager
def another_process() -> Iterator[Callable[[str], str]]:
    """Yields a function that switches the file in another process, and returns the resulting mode."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command("switch_journal_mode"), stdin=pipe, stdout=pipe, text=True) as process:

        def switch(mode: str) -> str:
            print(mode, file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        yield switch
        process.stdin.close()


def this_process(mode: str) -> None:
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")


def login(key: Any = KEY) -> Any:
    session = RustSQLiteSession("anna")
    session.auth_key = key
    session.save()
    return session


def inodes() -> list[int]:
    return [Path(f"anna.session{side}").stat().st_ino for side in ("", "-wal", "-shm")]


@pytest.fixture(params=["this process", "another process"])
def switch(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    if request.param == "this process":
        yield this_process
    else:
        with another_process() as switch:
            yield switch


def test_switched_while_open(switch: Callable[[str], Any]) -> None:
    session = login()
    for key in (OTHER_KEY, KEY):
        switch("wal")
        session.auth_key = key
        session.save()
        session.process_entities(entities.crowd(30))
        session.save()
        assert on_disk("sessions")[0][3] == key.key
        session.close()
        switch("delete")
        assert not Path("anna.session-wal").exists()
    session.close()
    assert len(dump("anna.session")["entities"]) == 30


@pytest.mark.parametrize("other_class", ["sqlite3", "SQLiteSession", "RustSQLiteSession"])
def test_another_copy_of_sqlite_reads(other_class: str) -> None:
    """A connection that is not the last one removes no file, whichever copy of SQLite it belongs
    to.
    """
    session = login()
    this_process("wal")
    session.auth_key = OTHER_KEY
    session.save()
    before = inodes()
    if other_class == "sqlite3":
        with closing(sqlite3.connect("anna.session")) as file:
            assert file.execute("select auth_key from sessions").fetchone() == (OTHER_KEY.key,)
    else:
        other: Any = {"SQLiteSession": SQLiteSession, "RustSQLiteSession": RustSQLiteSession}[other_class]("anna")
        assert other.auth_key == OTHER_KEY
        other.close()
    assert inodes() == before
    session.close()


def test_close_while_another_copy_of_sqlite_reads() -> None:
    """Closing our descriptors releases no lock of the reader, and does not remove the WAL that it
    reads.
    """
    session = login()
    this_process("wal")
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("begin")
        assert file.execute("select count(*) from entities").fetchone() == (0,)
        session.process_entities(entities.crowd(100))
        session.save()
        before = inodes()
        session.close()
        for _ in range(5):
            RustSQLiteSession("anna").close()
        assert inodes() == before
        assert file.execute("select count(*) from entities").fetchone() == (0,)
        # The reader's lock still works: the WAL cannot be truncated before the reader ends its
        # transaction.
        with closing(sqlite3.connect("anna.session")) as other:
            assert other.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 1
        file.execute("commit")
        assert file.execute("select count(*) from entities").fetchone() == (100,)
        file.execute("begin immediate")
        other_session = RustSQLiteSession("anna")
        with closing(sqlite3.connect("anna.session", timeout=0)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("begin immediate")
        file.execute("commit")
        other_session.close()
    assert len(dump("anna.session")["entities"]) == 100


def test_a_forked_child_holds_no_lock() -> None:
    """A child holds no lock after its parent has closed the file, and its end releases none."""
    session = login()
    this_process("wal")
    session.process_entities(entities.crowd(10))
    session.save()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    session.auth_key = OTHER_KEY
    session.save()
    session.close()
    assert not Path("anna.session-wal").exists()
    # If the child had a lock, this would fail.
    this_process("delete")
    with closing(sqlite3.connect("anna.session", timeout=0)) as file:
        file.execute("begin exclusive")
    os.close(writing)
    assert os.waitpid(pid, 0)[1] == 0
    assert dump("anna.session")["sessions"][0][3] == OTHER_KEY.key


@pytest.mark.slow
def test_random_use_that_ends_by_a_kill(folder: Path) -> None:
    for _ in range(RUNS):
        seed = Random().getrandbits(32)
        print(f"seed {seed}")
        run = subprocess.run(command("random_wal_use", seed), capture_output=True, text=True, check=False)
        assert run.returncode == -signal.SIGKILL, run.stderr
        expected = json.loads(run.stdout)
        content = dump("anna.session")
        assert not expected["key"] or content["sessions"][0][3].hex() == expected["key"]
        hashes = {str(row[0]): row[1] for row in content["entities"]}
        assert {id: hashes.get(id) for id in expected["hashes"]} == expected["hashes"]
        states = {str(row[0]): row[1] for row in content["update_state"]}
        assert {id: states.get(id) for id in expected["states"]} == expected["states"]
        tally("kills of programs in WAL mode")
        tally("switches to WAL mode by another process", expected["modes"].count("wal"))
        for path in folder.iterdir():
            path.unlink()

"""Two sessions share a file: ours with another of ours, or with Telethon's in another process. Each
sees what the other saved.

Telethon's session is never in the same process, because it uses another copy of SQLite than ours.
POSIX locks belong to the process, so neither copy would see the other's locks.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.counters import tally
from support.files import dump
from support.locks import locked_by_another_process
from support.programs import command
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.any_release

PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


class AnotherProcess(BaseManager):
    """Creates sessions in another process."""


AnotherProcess.register("SQLiteSession", SQLiteSession)
AnotherProcess.register("RustSQLiteSession", RustSQLiteSession)


@pytest.fixture(scope="module")
def another_process() -> Iterator[Any]:
    with AnotherProcess(ctx=multiprocessing.get_context("spawn")) as process:
        yield process


@pytest.fixture(params=["RustSQLiteSession", "RustSQLiteSession elsewhere", "SQLiteSession elsewhere"])
def other_session(request: pytest.FixtureRequest, another_process: Any) -> Any:
    """Returns a function that opens a session: ours in this process, or either class in another
    process.
    """
    name, *elsewhere = request.param.split()
    make = getattr(another_process, name) if elsewhere else RustSQLiteSession
    return lambda path: make(str(Path(path).absolute()))


@pytest.fixture
def sessions(other_session: Any) -> tuple[Any, Any]:
    """Returns our session, and another one on the same file."""
    return RustSQLiteSession("anna"), other_session("anna")


def found(session: Any, key: Any) -> Any:
    try:
        return session.get_input_entity(key)
    except ValueError:
        return None


def test_an_unknown_entity_is_found_once_the_other_saved_it(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    for id in range(1, 30):
        entity = entities.user(id, id, username=f"user_{id}", phone=f"7999{id}", first_name=f"Anna {id}")
        keys = (id, f"@user_{id}", f"+7 999 {id}", f"Anna {id}")
        assert [found(ours, key) for key in keys] == [None] * 4
        (ours if id % 2 else other).process_entities([entity])
        (ours if id % 2 else other).save()
        for session in sessions:
            assert [found(session, key) for key in keys] == [types.InputPeerUser(id, id)] * 4


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal", "exclusive"])
def test_what_another_process_committed_is_found_by_the_next_lookup(mode: str) -> None:
    """A lookup of an unknown entity asks SQLite only if the file has changed. SQLite's journal modes
    change it in different ways.
    """
    session = RustSQLiteSession("anna")
    until(session._is_loaded)
    with subprocess.Popen(command("commit_rows", "anna.session", mode), **PIPES) as program:
        for id in range(1, 200):
            keys = (id, f"user{id}", f"+{id}", f"Anna {id}")
            # The second time nothing has changed since the first.
            assert [found(session, key) for key in keys * 2] == [None] * 8
            print(id, file=program.stdin, flush=True)
            assert program.stdout.readline() == f"{id}\n"
            # Each of them may be the first to be looked up.
            for key in keys[id % 4 :] + keys[: id % 4]:
                assert found(session, key) == types.InputPeerUser(id, id), (key, mode)
        program.stdin.close()
    tally(f"commits in {mode} mode that were found", 199)


@pytest.mark.skipif(sys.platform != "linux", reason="SQLite is asked elsewhere, which takes a lock")
def test_an_unknown_entity_takes_no_lock() -> None:
    # It would be waited for, for longer than any test takes.
    session = RustSQLiteSession("anna", timeout=3600)
    until(session._is_loaded)
    assert found(session, "unknown") is None
    with locked_by_another_process():
        for n in range(1000):
            assert found(session, f"unknown{n}") is None


def test_a_known_entity_is_refreshed(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    ours.process_entities([entities.user(1, 2, username="before")])
    ours.save()
    other.process_entities([entities.user(1, 3, username="after_it")])
    other.save()
    # The new username is unknown, so the session rereads the file.
    assert found(ours, "after_it") == types.InputPeerUser(1, 3)
    assert found(ours, "before") is None
    other.process_entities([entities.user(1, 4, username="after_it")])
    other.save()
    # A known entity does not cause a reread, but the next unknown one or the next write does.
    assert found(ours, "unknown") is None
    until(lambda: found(ours, 1) == types.InputPeerUser(1, 4))


def test_both_sessions_write(sessions: tuple[Any, Any]) -> None:
    for n, batch in enumerate(zip(*[iter(entities.crowd(1000))] * 10, strict=True)):
        session = sessions[n % 2]
        session.process_entities(batch)
        session.set_update_state(n, types.updates.State(n, 1, entities.DATE, 1, 0))
        session.save()
    for session in sessions:
        session.close()
    rows = dump("anna.session")
    assert (len(rows["entities"]), len(rows["update_state"])) == (1000, 100)


def test_reading_the_file_keeps_unsaved_changes(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    other.process_entities([entities.user(1, 1, username="theirs"), entities.user(2, 2)])
    other.save()
    ours.process_entities([entities.user(1, 9, username="ours_now")])
    assert found(ours, 2) == types.InputPeerUser(2, 2)
    assert found(ours, "ours_now") == types.InputPeerUser(1, 9)
    assert found(ours, "theirs") is None
    ours.save()
    assert found(other, "ours_now") == types.InputPeerUser(1, 9)


def test_update_states_and_sent_files(other_session: Any) -> None:
    other = other_session("anna")
    other.set_update_state(0, types.updates.State(5, 1, entities.DATE, 1, 0))
    other.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
    other.save()
    ours = RustSQLiteSession("anna")
    assert ours.get_update_state(0).pts == 5
    # In every release, `get_file` fails because it creates an `InputDocument` from two values.
    with pytest.raises(TypeError):
        ours.get_file(b"1" * 16, 1, types.InputDocument)
    ours.set_update_state(0, types.updates.State(6, 1, entities.DATE, 1, 0))
    ours.save()
    # Our session rereads the file when it looks up an unknown entity.
    assert found(other, "unknown") is None
    until(lambda: other.get_update_state(0).pts == 6)


def test_statements_of_the_caller() -> None:
    """Statements through `_execute`, which scripts use, and through the caller's own connection."""
    session = RustSQLiteSession("anna")
    session.process_entities(entities.crowd(10))
    assert session._execute("select count(*) from entities") == (10,)
    assert session._execute("select id, hash, ?, ?, ?, ? from entities where id = ?", None, 1.5, "a", b"b", 1) == (
        *(1, -104729, None, 1.5, "a", b"b"),
    )
    assert session._execute("select 1 from entities where id = 99") is None
    assert session._execute("delete from entities where id = ?", 1) is None
    assert found(session, 1) is None
    assert session._execute("update entities set username = 'renamed' where id = 3") is None
    assert found(session, "renamed") == types.InputPeerUser(3, -3 * 104729)
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        session._execute("select * from nowhere")
    with closing(sqlite3.connect("anna.session")) as file, file:
        file.execute("insert into entities values (77, 78, 'inserted', 79, 'Name', 1)")
    for key in (77, "inserted", "+79", "Name"):
        assert found(session, key) == types.InputPeerUser(77, 78)

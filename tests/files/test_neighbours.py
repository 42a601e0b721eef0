"""Two at one file: ours and another of ours, or Telethon's own in another process. Each sees what the
others have saved.

Telethon's own is never in the same process: its SQLite and ours are two copies, and the locks by which connections keep
out of each other's way are the process's, so neither copy would see what the other has locked.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.files import dump
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.any_release


class AnotherProcess(BaseManager):
    """Makes sessions that live in a process of their own."""


AnotherProcess.register("SQLiteSession", SQLiteSession)
AnotherProcess.register("RustSQLiteSession", RustSQLiteSession)


@pytest.fixture(scope="module")
def another_process() -> Iterator[Any]:
    with AnotherProcess(ctx=multiprocessing.get_context("spawn")) as process:
        yield process


@pytest.fixture(params=["RustSQLiteSession", "RustSQLiteSession elsewhere", "SQLiteSession elsewhere"])
def neighbour(request: pytest.FixtureRequest, another_process: Any) -> Any:
    """Opens a session: of our own in this process, or one in another process."""
    name, *elsewhere = request.param.split()
    make = getattr(another_process, name) if elsewhere else RustSQLiteSession
    return lambda path: make(str(Path(path).absolute()))


@pytest.fixture
def sessions(neighbour: Any) -> tuple[Any, Any]:
    """Ours, and another on the same file."""
    return RustSQLiteSession("anna"), neighbour("anna")


def found(session: Any, key: Any) -> Any:
    try:
        return session.get_input_entity(key)
    except ValueError:
        return None


def test_who_was_not_known_is_found_at_once(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    for id in range(1, 30):
        somebody = entities.user(id, id, username=f"user_{id}", phone=f"7999{id}", first_name=f"Anna {id}")
        keys = (id, f"@user_{id}", f"+7 999 {id}", f"Anna {id}")
        assert [found(ours, key) for key in keys] == [None] * 4
        (ours if id % 2 else other).process_entities([somebody])
        (ours if id % 2 else other).save()
        for session in sessions:
            assert [found(session, key) for key in keys] == [types.InputPeerUser(id, id)] * 4


def test_who_was_known_is_known_anew_before_long(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    ours.process_entities([entities.user(1, 2, username="before")])
    ours.save()
    other.process_entities([entities.user(1, 3, username="after_it")])
    other.save()
    # Asking for the new name is a miss, upon which the file is looked into.
    assert found(ours, "after_it") == types.InputPeerUser(1, 3)
    assert found(ours, "before") is None
    other.process_entities([entities.user(1, 4, username="after_it")])
    other.save()
    # Asking for what is known is not, but after the next miss or write all is read again.
    assert found(ours, "nobody") is None
    until(lambda: found(ours, 1) == types.InputPeerUser(1, 4))


def test_both_write(sessions: tuple[Any, Any]) -> None:
    for n, everybody in enumerate(zip(*[iter(entities.crowd(1000))] * 10, strict=True)):
        session = sessions[n % 2]
        session.process_entities(everybody)
        session.set_update_state(n, types.updates.State(n, 1, entities.DATE, 1, 0))
        session.save()
    for session in sessions:
        session.close()
    rows = dump("anna.session")
    assert (len(rows["entities"]), len(rows["update_state"])) == (1000, 100)


def test_what_ours_has_not_saved_yet_is_not_overwritten_by_what_it_reads(sessions: tuple[Any, Any]) -> None:
    ours, other = sessions
    other.process_entities([entities.user(1, 1, username="theirs"), entities.user(2, 2)])
    other.save()
    ours.process_entities([entities.user(1, 9, username="ours_now")])
    assert found(ours, 2) == types.InputPeerUser(2, 2)
    assert found(ours, "ours_now") == types.InputPeerUser(1, 9)
    assert found(ours, "theirs") is None
    ours.save()
    assert found(other, "ours_now") == types.InputPeerUser(1, 9)


def test_update_states_and_sent_files(neighbour: Any) -> None:
    other = neighbour("anna")
    other.set_update_state(0, types.updates.State(5, 1, entities.DATE, 1, 0))
    other.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
    other.save()
    ours = RustSQLiteSession("anna")
    assert ours.get_update_state(0).pts == 5
    # `get_file` wants to make an `InputDocument` of two values, in every release.
    with pytest.raises(TypeError):
        ours.get_file(b"1" * 16, 1, types.InputDocument)
    ours.set_update_state(0, types.updates.State(6, 1, entities.DATE, 1, 0))
    ours.save()
    # Ours learns of it when it next looks into the file, as it does upon a miss.
    assert found(other, "nobody") is None
    until(lambda: other.get_update_state(0).pts == 6)


def test_a_users_own_statements() -> None:
    """Through `_execute`, which scripts use, and through a connection of their own."""
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

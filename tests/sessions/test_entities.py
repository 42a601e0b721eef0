"""`entities()` and `add_entities()`: iterating over the entities of a session, and adding them to
another one.
"""

from __future__ import annotations

import asyncio
import copy
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.files import dump
from telethon_session_rust import Entity, RustMemorySession, RustSQLiteSession, RustStringSession

SESSIONS = {
    "memory": RustMemorySession,
    "string": RustStringSession,
    "SQLite in memory": lambda: RustSQLiteSession(None),
    "SQLite": lambda: RustSQLiteSession("people"),
    "entity file": lambda: RustStringSession(entity_file="people"),
}
ANNA = Entity(1, "user", 2, "annie", "79991234567", "Anna", 1_700_000_000)
GROUP = Entity(1, "chat", 0, None, None, "Group", 1_700_000_001)
CHANNEL = Entity(1, "channel", 3, "news", None, "News", 1_700_000_002)
ALL = [ANNA, GROUP, CHANNEL]


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest) -> Any:
    return SESSIONS[request.param]()


def test_added_entities_are_found_and_iterated(session: Any) -> None:
    session.add_entities(ALL)
    assert sorted(session.entities()) == sorted(ALL)
    for kind, entity in zip(("user", "chat", "channel"), ALL, strict=True):
        assert [*session.entities(kind)] == [entity]
        assert session.get_entity_rows_by_id(entity.marked_id) == (entity.marked_id, entity.access_hash)
    assert session.get_input_entity("@Annie") == types.InputPeerUser(1, 2)
    assert session.get_input_entity("News") == types.InputPeerChannel(1, 3)
    other = RustMemorySession()
    other.add_entities(session.entities())
    assert sorted(other.entities()) == sorted(ALL)
    with pytest.raises(ValueError, match="'user', 'chat' or 'channel', not 'bot'"):
        session.entities("bot")


def test_copies_keep_last_seen() -> None:
    session = RustMemorySession()
    session.add_entities(ALL)
    for copied in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        assert sorted(copied.entities()) == sorted(ALL)


def test_shorter_tuples_are_accepted(session: Any) -> None:
    session.add_entities(iter([(5, "chat"), (6, "user", 7), (8, "channel", 9, "Loud", 123)]))
    found = {entity[:6] for entity in session.entities()}
    assert found == {
        (5, "chat", 0, None, None, None),
        (6, "user", 7, None, None, None),
        (8, "channel", 9, "loud", "123", None),
    }
    assert all(entity.last_seen > 1_700_000_000 for entity in session.entities())


def test_the_latest_entity_wins(session: Any) -> None:
    session.add_entities([ANNA])
    session.add_entities([ANNA._replace(username="anna_once", last_seen=ANNA.last_seen - 1)])
    assert [*session.entities()] == [ANNA]
    newer = ANNA._replace(username="anna_now", last_seen=ANNA.last_seen + 1)
    session.add_entities([newer])
    assert [*session.entities()] == [newer]


def test_the_latest_entity_wins_before_the_file_is_loaded() -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(1, 5, username="anna")])
        theirs.save()
    session = RustSQLiteSession("people")
    session.add_entities([ANNA])
    assert [entity.access_hash for entity in session.entities()] == [5]
    session.close()


def test_the_clients_own_row_is_skipped(session: Any) -> None:
    session.process_entities([types.InputPeerUser(0, 777), entities.user(777, 1)])
    assert [entity.id for entity in session.entities()] == [777]
    assert session.get_input_entity(0) == types.InputPeerUser(0, 777)


@given(
    marked_id=st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([0, -1, -(10**12), -(10**12) - 1, -(2**63), 2**63 - 1, -1009999999999])
)
def test_every_id_round_trips(marked_id: int) -> None:
    entity = Entity.from_row((marked_id, 5, None, None, None))
    assert entity.marked_id == marked_id
    id, kind = utils.resolve_id(marked_id)
    assert (entity.id, entity.kind) == (id, kind.__name__[len("Peer") :].lower())
    session = RustMemorySession()
    session.add_entities([entity])
    assert session._entities == {(marked_id, 5, None, None, None)}
    assert [found[:3] for found in session.entities()] == ([entity[:3]] if marked_id else [])


INVALID: list[tuple[Any, type[Exception], str]] = [
    (5, TypeError, "row 1 must be an Entity or a tuple of its fields, not int"),
    ([6, "user", 7], TypeError, "not list"),
    ((6,), ValueError, "row 1 must have 2 to 7 values, and has 1"),
    ((6, "user", 7, None, None, None, None, None), ValueError, "has 8"),
    (("6", "user", 7), TypeError, "row 1: its id must be an int, not str"),
    ((None, "user", 7), TypeError, "its id must be an int, not None"),
    ((True, "user", 7), TypeError, "its id must be an int, not bool"),
    ((2**63, "user", 7), ValueError, "does not fit 64 bits"),
    ((-6, "user", 7), ValueError, r"row 1 \(id -6\): .* without a mark"),
    ((0, "chat"), ValueError, "without a mark"),
    ((-1000000000006, "channel", 7), ValueError, "without a mark"),
    ((10**12 + 1, "chat"), ValueError, "not that of such an entity"),
    ((6, None, 7), TypeError, "its kind must be a str, not None"),
    ((6, "bot", 7), ValueError, "'user', 'chat' or 'channel', not 'bot'"),
    ((6, "user", "7"), TypeError, "its access_hash must be an int or None, not str"),
    ((6, "user", 2**63), ValueError, "its access_hash does not fit"),
    ((6, "user", 7, 8), TypeError, "its username must be a str or None, not int"),
    ((6, "user", 7, "\ud800"), ValueError, "half a character"),
    ((6, "user", 7, None, 1.5), TypeError, "its phone must be"),
    ((6, "user", 7, None, None, b"Anna"), TypeError, "its name must be"),
    ((6, "user", 7, None, None, None, 1.5), TypeError, "its last_seen must be an int or None, not float"),
    ((6, "user", 7, None, None, None, -1), ValueError, "seconds since 1970"),
    ((6, "user", 7, None, None, None, 2**32), ValueError, "seconds since 1970"),
]


@pytest.mark.parametrize(("row", "error", "message"), INVALID)
def test_an_invalid_row_is_reported_and_nothing_is_added(
    session: Any, row: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        session.add_entities([ANNA, row, GROUP])
    assert [*session.entities()] == []


def test_a_file_requires_an_access_hash(session: Any) -> None:
    if session._is_stored():
        with pytest.raises(ValueError, match=r"row 0 \(id 6\): it has no access hash"):
            session.add_entities([(6, "user")])
    else:
        session.add_entities([(6, "user")])
        assert session._entities == {(6, None, None, None, None)}


COUNT = 3_000


def test_iteration_is_complete_while_loading() -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(n, n, first_name="Anna") for n in range(1, COUNT + 1)])
        theirs.save()

    async def in_a_loop() -> None:
        session = RustSQLiteSession("people")
        # Not in the file; in the file and changed; received without names.
        session.process_entities([entities.user(COUNT + 5, 1), entities.user(7, 70, first_name="Bob")])
        session.process_entities([types.InputPeerUser(8, 80)])
        found = []
        for number, entity in enumerate(session.entities()):
            found.append(entity)
            if number % 500 == 0:
                # Another program adds an entity, and so does this one.
                with closing(sqlite3.connect("people.session")) as file, file:
                    file.execute("insert into entities values (?, 1, null, null, null, null)", [10_000 + number])
                session.process_entities([entities.user(20_000 + number, 1)])
                await asyncio.sleep(0)
        ids = [entity.id for entity in found]
        assert len(ids) == len(set(ids))
        assert {*range(1, COUNT + 1), COUNT + 5} <= set(ids)
        by_id = {entity.id: entity for entity in found}
        assert by_id[7][2:6] == (70, None, None, "Bob")
        assert by_id[8][2:6] == (80, None, None, "Anna")
        session.close()

    asyncio.run(in_a_loop())


def test_iteration_includes_rows_of_other_programs() -> None:
    session = RustSQLiteSession("people")
    session.add_entities(ALL)
    session.save()
    with closing(sqlite3.connect("people.session")) as file, file:
        file.execute("insert into entities values (5, 6, null, null, null, null)")
    assert sorted(session.entities()) == sorted([*ALL, Entity(5, "user", 6)])
    session.close()


def test_a_statement_during_iteration() -> None:
    session = RustSQLiteSession("people")
    session.add_entities([(n, "user", n) for n in range(1, COUNT + 1)])
    found = []
    for number, entity in enumerate(session.entities()):
        found.append(entity.id)
        if number == COUNT // 2:
            session._execute("insert into entities values (?, 6, null, null, null, null)", 10_000)
    assert len(found) == len(set(found))
    assert {*range(1, COUNT + 1)} <= set(found)
    session.close()


def test_iteration_reads_small_slices(session: Any) -> None:
    session.add_entities([(n, "user", n) for n in range(1, COUNT + 1)])
    session.close()
    scan = session._scan(None, Entity)
    slices = []
    while rows := scan._slice():
        slices.append(len(rows))
    assert sum(slices) == COUNT
    assert max(slices) < 500


def test_iteration_continues_after_a_locked_file() -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(n, n) for n in range(1, COUNT + 1)])
        theirs.save()

    async def in_a_loop() -> None:
        session = RustSQLiteSession("people")
        found = session.entities()
        ids = [next(found).id]
        with closing(sqlite3.connect("people.session", isolation_level=None)) as other:
            other.execute("begin exclusive")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                ids.extend(entity.id for entity in found)
            other.execute("rollback")
        ids.extend(entity.id for entity in found)
        assert sorted(ids) == [*range(1, COUNT + 1)]
        session.close()

    asyncio.run(in_a_loop())


def test_added_entities_are_saved() -> None:
    session = RustSQLiteSession("people")
    session.add_entities(ALL)
    session.close()
    stored = {row[0]: row[1:] for row in dump("people.session")["entities"]}
    assert stored[1] == (2, "annie", 79991234567, "Anna", 1_700_000_000)
    assert len(stored) == 3


@pytest.mark.parametrize("overrides", [False, True])
def test_save_entities(session: Any, overrides: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if overrides:
        cls = type(session)
        own = type("Own", (cls,), {"_entity_to_row": lambda self, e: super(own, self)._entity_to_row(e)})
        session.__class__ = own
    session.process_entities([entities.user(1, 2)])
    session.save_entities = False
    session.process_entities([entities.user(3, 4), entities.user(1, 9)])
    assert [entity[:3] for entity in session.entities()] == [(1, "user", 2)]
    assert session.get_input_entity(1) == types.InputPeerUser(1, 2)
    clone = session.clone()
    clone.process_entities([entities.user(3, 4)])
    assert [*clone.entities()] == []
    if not session._is_stored():
        copied = copy.copy(session)
        copied.process_entities([entities.user(3, 4)])
        assert len([*copied.entities()]) == 1
    session.add_entities([(5, "user", 6)])
    session.save_entities = True
    session.process_entities([entities.user(3, 4)])
    assert {entity.id for entity in session.entities()} == {1, 3, 5}
    session.close()
    assert not Path("people.session").exists() or len(dump("people.session")["entities"]) == 3


@pytest.mark.parametrize("name", ["_entities_to_rows", "_entity_to_row", "_entity_values_to_row", "process_entities"])
def test_save_entities_of_a_custom_storage(name: str) -> None:
    calls = []

    def override(self: Any, *args: Any) -> Any:
        calls.append(name)
        return getattr(super(own, self), name)(*args)

    own: Any = type("Own", (RustMemorySession,), {name: override, "save_entities": False})
    session = own()
    session.process_entities([entities.user(1, 2)])
    assert [*session.entities()] == []
    assert calls == (["process_entities"] if name == "process_entities" else [])

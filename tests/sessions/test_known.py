"""`find_entity()`, `count_entities()`, `forget()` and `forget_older_than()`: who is known, and who is not any
more.
"""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support import lookup_keys as keys
from support.entities import DATE
from support.waiting import until
from telethon_session_rust import Entity, RustMemorySession, RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

SESSIONS: dict[str, Callable[[], Any]] = {
    "memory": RustMemorySession,
    "string": RustStringSession,
    "SQLite in memory": lambda: RustSQLiteSession(None),
    "SQLite": lambda: RustSQLiteSession("people"),
    "entity file": lambda: RustStringSession(entity_file="people"),
}
STORED = ("SQLite", "entity file")
ANNA = Entity(1, "user", 2, "annie", "79991234567", "Anna", 1_700_000_000)
GROUP = Entity(1, "chat", 0, None, None, "Group", 1_700_000_001)
CHANNEL = Entity(1, "channel", 3, "headlines", None, "News", 1_700_000_002)
ME = Entity(7, "user", 8, "myself", None, "Me", 1_700_000_003)
ALL = [ANNA, GROUP, CHANNEL, ME]
DAY = 24 * 60 * 60


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest) -> Any:
    return SESSIONS[request.param]()


@pytest.fixture(params=STORED)
def open_stored(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return SESSIONS[request.param]


def add_all(session: Any) -> None:
    session.add_entities(ALL)
    # The client remembers its own ID this way.
    session.process_entities([types.InputPeerUser(0, ME.id)])


def stored_ids() -> set[int]:
    """Returns the marked IDs of all rows of the file, as Telethon's own session finds them."""
    with closing(SQLiteSession("people")) as theirs:
        ids = {id for (id,) in theirs._cursor().execute("select id from entities")}
        for id in ids:
            assert theirs.get_entity_rows_by_id(id)
        return ids


KEYS: list[tuple[Any, Entity]] = [
    *((key, ANNA) for key in (types.PeerUser(1), types.InputPeerUser(1, 5), types.InputUser(1, 5), ANNA)),
    *(
        (key, ANNA)
        for key in ("annie", "@Annie", "https://t.me/annie", "t.me/Annie", "+7 999 123 45 67", "79991234567")
    ),
    *((key, ANNA) for key in ("Anna", types.User(1), types.User(1, is_self=True), entities.user(1, 9))),
    *((key, GROUP) for key in (-1, types.PeerChat(1), types.InputPeerChat(1), GROUP, entities.chat(1), "Group")),
    *((key, CHANNEL) for key in (1, -1000000000001, types.PeerChannel(1), types.InputPeerChannel(1, 5), CHANNEL)),
    *((key, CHANNEL) for key in (types.InputChannel(1, 5), "headlines", "News", entities.channel(1, 9))),
    *((key, ME) for key in ("me", "self", 0, types.InputPeerSelf(), types.InputUserSelf(), 7, ME, "myself")),
]


@pytest.mark.parametrize("at", range(len(KEYS)))
def test_an_entity_is_found_and_forgotten_by_each_key(session: Any, at: int) -> None:
    given_key, expected = KEYS[at]
    add_all(session)
    assert session.find_entity(given_key) == expected
    assert session.forget(given_key) is True
    assert session.find_entity(expected) is None
    assert session.forget(expected) is False
    assert sorted(session.entities()) == sorted(entity for entity in ALL if entity != expected)
    assert session.count_entities() == len(ALL) - 1
    # The client's own ID stays.
    assert session.get_entity_rows_by_id(0) == (0, ME.id)
    session.close()


UNKNOWN: list[Any] = [
    *(5, -5, 2**63, 2**200, -(2**70), "nobody", "No Body", "+123", "", "\ud800"),
    *(None, 1.5, b"anna", [], {}, object(), ("anna",), (1, "user"), types.PeerUser, types.PeerUser(None)),
    *(types.PeerUser(5), types.InputPeerEmpty(), types.InputPeerUserFromMessage(types.InputPeerSelf(), 1, 5)),
    types.Message(1, types.PeerUser(1), DATE, ""),
]


def test_what_is_not_known_is_none(session: Any) -> None:
    add_all(session)
    for key in UNKNOWN:
        assert session.find_entity(key) is None
        assert session.forget(key) is False
    assert session.count_entities() == len(ALL)
    empty = RustMemorySession()
    assert all(empty.find_entity(key) is None for key in ("me", 0, types.InputPeerSelf()))


@settings(max_examples=4 * settings().max_examples)
@given(received=st.lists(entities.entities, max_size=12), wanted=st.lists(keys.keys, min_size=1, max_size=8))
def test_finds_what_get_input_entity_finds(received: list[Any], wanted: list[Any]) -> None:
    for session in (RustMemorySession(), RustSQLiteSession(None)):
        for entity in received:
            session.process_entities([entity])
        for key in wanted:
            found = session.find_entity(key)
            if isinstance(key, int) and key == 0:
                # It is the account, and no chat of that ID.
                continue
            try:
                peer = session.get_input_entity(key)
                marked_id = utils.get_peer_id(peer)
            except (ValueError, TypeError, AttributeError, OverflowError):
                # It has an ID, but no input peer, or one without an ID.
                with_id = getattr(key, "id", None) or getattr(key, "user_id", None) or key
                assert found is None or with_id == 0 or found.id in (with_id, utils.resolve_id(int(with_id))[0])
                continue
            by_id = {entity.marked_id: entity for entity in session.entities()}
            if marked_id != 0:
                assert found == by_id.get(marked_id), key
            if found is not None:
                assert session.forget(key) is True
                assert found not in session.entities()
                assert session.find_entity(found) is None


def test_counts(session: Any) -> None:
    kinds: tuple[Any, ...] = (None, "user", "chat", "channel")
    assert [session.count_entities(kind) for kind in kinds] == [0] * 4
    session.process_entities([*entities.crowd(3000), types.InputPeerUser(0, 5)])
    for _ in range(2):
        counted = [session.count_entities(kind) for kind in kinds]
        assert counted == [sum(1 for _ in session.entities(kind)) for kind in kinds]
        assert counted[0] == 3000
        # Opened again, with nothing in memory yet.
        session.close()
    with pytest.raises(ValueError, match="'user', 'chat' or 'channel', not 'bot'"):
        session.count_entities("bot")


def test_a_file_is_counted_without_being_loaded() -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([*entities.crowd(30_000), types.InputPeerUser(0, 5)])
        theirs.save()
        theirs._cursor().execute("update entities set hash = 'none' where id in (1, 2)")
        theirs.save()
    session = RustSQLiteSession("people")
    # Unsaved: one of the file, and one that is not in it.
    session.process_entities([entities.user(3, 4), entities.user(10**9, 4)])
    session.forget(4)
    assert session.count_entities() == 30_000 - 2 + 1 - 1
    until(session._is_loaded)
    assert session.count_entities() == len(list(session.entities())) == 29_998
    session.close()


def test_what_is_forgotten_is_gone_from_the_file(open_stored: Callable[[], Any]) -> None:
    session = open_stored()
    add_all(session)
    session.save()
    assert session.forget("annie") and session.forget(CHANNEL)
    session.save()
    assert stored_ids() == {0, GROUP.marked_id, ME.id}
    # Once more before the first time was written.
    session.add_entities([ANNA])
    session.forget(ANNA)
    session.process_entities([types.InputPeerUser(GROUP.id, 9)])
    session.close()
    assert stored_ids() == {0, GROUP.marked_id, ME.id, 1}
    with closing(sqlite3.connect("people.session")) as file:
        # An input peer has no names, and the forgotten ones do not come back.
        row = file.execute("select hash, username, phone, name from entities where id = 1").fetchone()
    assert row == (9, None, None, None)
    assert b"annie" not in Path("people.session").read_bytes()
    assert open_stored().find_entity("Anna") is None


def test_another_session_forgets_too(open_stored: Callable[[], Any]) -> None:
    one = open_stored()
    add_all(one)
    one.save()
    other = open_stored()
    until(other._is_loaded)
    assert other.find_entity("annie") == ANNA
    one.forget(types.PeerUser(1))
    one.save()
    assert other.find_entity("annie") is None
    assert other.find_entity(ANNA) is None
    assert sorted(other.entities()) == sorted([GROUP, CHANNEL, ME])
    assert other.count_entities() == 3
    # What is received again is known again.
    other.process_entities([entities.user(1, 2, username="annie", phone="79991234567", first_name="Anna")])
    other.close()
    assert 1 in stored_ids()


def test_what_another_program_deletes_is_forgotten() -> None:
    session = RustSQLiteSession("people")
    session.add_entities([Entity(n, "user", n, f"user_{n}") for n in range(1, 2001)])
    session.save()
    with closing(sqlite3.connect("people.session")) as file, file:
        file.execute("delete from entities where id % 2 = 0")
    session.process_entities([entities.user(3000, 1)])
    assert [session.find_entity(id) is None for id in (1, 2, 3, 1000, 3000)] == [False, True, False, True, False]
    assert {entity.id for entity in session.entities()} == {*range(1, 2001, 2), 3000}
    assert session.count_entities() == 1001
    until(session._is_loaded)
    with pytest.raises(ValueError, match="Could not find"):
        session.get_input_entity("user_2")
    session.close()


def test_what_is_old_is_forgotten(session: Any) -> None:
    now = int(time.time())
    ages = [0, 1, 29.9, 30.1, 31, 3000]
    rows = [Entity(n, "user", n, last_seen=now - int(age * DAY)) for n, age in enumerate(ages, 1)]
    session.add_entities(rows)
    session.process_entities([types.InputPeerUser(0, 5)])
    assert session.forget_older_than(30) == 3
    assert sorted(entity.id for entity in session.entities()) == [1, 2, 3]
    assert session.forget_older_than(0.5) == 2
    for days in (10**9, 10**400, 1e308):
        assert session.forget_older_than(days) == 0
    session.close()
    assert sorted(entity.id for entity in session.entities()) == [1]
    assert session.get_entity_rows_by_id(0) == (0, 5)


def test_rows_without_a_date_stay(open_stored: Callable[[], Any]) -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(n, n) for n in range(1, 6)])
        theirs.save()
        theirs._cursor().execute("update entities set date = null where id = 1")
        theirs._cursor().execute("update entities set date = 0 where id = 2")
        theirs._cursor().execute("update entities set date = 1600000000 where id in (3, 4)")
        theirs.save()
    session = open_stored()
    assert session.forget_older_than(1) == 2
    session.close()
    assert stored_ids() == {1, 2, 5}
    undated = [entity for entity in session.entities() if entity.last_seen is None]
    assert [session.forget(entity) for entity in undated] == [True, True]
    session.close()
    assert stored_ids() == {5}


@pytest.mark.parametrize("days", [-1, float("nan"), float("inf"), -0.1])
def test_invalid_days(session: Any, days: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        session.forget_older_than(days)


@pytest.mark.parametrize("days", ["30", None, True, [30]], ids=str)
def test_days_of_another_type(session: Any, days: Any) -> None:
    with pytest.raises(TypeError, match="days must be a number"):
        session.forget_older_than(days)


async def settled(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def test_in_an_event_loop(session: Any) -> None:
    async def use() -> None:
        old = int(time.time()) - 400 * DAY
        session.add_entities([Entity(n, "user", n, f"user_{n}", None, "Eva", old) for n in range(101, 5101)])
        session.add_entities(ALL)
        assert session.find_entity("annie") == ANNA
        assert session.find_entity("nobody") is None
        assert await settled(session.count_entities("user")) == 5002
        assert session.forget("user_102") is True
        assert session.find_entity("user_102") is None
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        forgotten = session.forget_older_than(30)
        assert inspect.isawaitable(forgotten)
        assert await forgotten == 5004 - 1
        assert ticks > 1
        ticking.cancel()
        assert await settled(session.count_entities()) == 0
        await session.flush()

    asyncio.run(use())
    session.close()


def test_an_asynchronous_iteration(session: Any) -> None:
    session.add_entities([Entity(n, "user" if n % 2 else "channel", n) for n in range(1, 3001)])
    session.close()

    async def use() -> None:
        ids = [entity.id async for entity in session.entities("user")]
        assert sorted(ids) == [*range(1, 3001, 2)]
        assert [entity async for entity in session.entities("chat")] == []

    asyncio.run(use())


def test_a_locked_file_in_an_event_loop() -> None:
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(n, n, username=f"user_{n}") for n in range(1, 5000)])
        theirs.save()

    async def use() -> None:
        session = RustSQLiteSession("people", timeout=60)
        with closing(sqlite3.connect("people.session", isolation_level=None)) as other:
            other.execute("begin exclusive")
            waiting = [
                session.find_entity("user_77"),
                session.find_entity("nobody"),
                session.forget("user_78"),
                session.count_entities(),
            ]
            # On a slow machine it may be loaded by now.
            assert all(inspect.isawaitable(result) for result in waiting) or session._is_loaded()
            other.execute("rollback")
        found, unknown, is_forgotten, count = await asyncio.gather(*map(settled, waiting))
        assert (found.id, unknown, is_forgotten) == (77, None, True)
        assert count in (4998, 4999)
        session.close()

    asyncio.run(use())
    assert 78 not in stored_ids()


class Elsewhere(RustMemorySession):
    """Finds one entity in a storage of its own."""

    def get_entity_rows_by_username(self, username: str) -> Any:
        return (-1000000000005, 6) if username == "elsewhere" else super().get_entity_rows_by_username(username)


def test_a_storage_of_ones_own() -> None:
    session = Elsewhere()
    add_all(session)
    assert session.find_entity("elsewhere") == Entity(5, "channel", 6)
    assert session.find_entity("annie") == ANNA
    assert session.find_entity("me") == ME
    # It is not in memory.
    assert session.forget("elsewhere") is False
    assert session.forget("annie") is True
    assert session.find_entity("annie") is None


def test_the_set_of_rows_has_no_forgotten_ones() -> None:
    session = RustMemorySession()
    session.add_entities(ALL)
    before = session._entities
    session.forget(ANNA)
    assert {row[0] for row in session._entities} == {entity.marked_id for entity in ALL if entity != ANNA}
    assert ANNA.marked_id in {row[0] for row in before}


def test_many_of_one_name_are_forgotten() -> None:
    session = RustMemorySession()
    session.add_entities([Entity(n, "user", n, None, None, "Anna", n) for n in range(1, 50_001)])
    session.forget(1)
    assert session.find_entity("Anna").id == 2
    before = (int(time.time()) - 25_000) / DAY
    assert session.forget_older_than(before) in (24_998, 24_999)
    assert session.find_entity("Anna").id in (25_000, 25_001)
    assert session.count_entities() in (25_000, 25_001)

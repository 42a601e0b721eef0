"""Memory within bounds, of sessions on servers: who has left memory is found on the server."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import closing
from typing import Any

import pytest
from hypothesis.stateful import run_state_machine_as_test
from telethon.tl import types

from stores.test_store_stateful import FEW, StoreMachine
from support import entities
from support.bounds import people
from support.waiting import until
from telethon_session_rust import open_session

pytestmark = pytest.mark.any_release

COUNT = 600
MOST = 50
PEOPLE = people(COUNT)


def test_everyone_is_found(location: str) -> None:
    one = open_session(location)
    one.add_entities(PEOPLE)
    one.close()
    session = open_session(location, max_entities=MOST)
    for person in PEOPLE[::40]:
        for key in (person.id, person.username, f"+{person.phone}", person.name, person):
            assert session.find_entity(key) == person
        assert session.get_input_entity(person.username).access_hash == person.access_hash
    assert session.find_entity("user_0") is None
    assert session.count_entities() == session.count_entities("user") == COUNT
    assert sorted(session.entities()) == PEOPLE
    # Nothing of this was written, so it need not stay in memory.
    until(lambda: session._count_in_memory() <= MOST)
    # Two at the same time, of which one is left.
    left, whole = session.entities(), session.entities()
    next(left)
    assert sorted(whole) == PEOPLE
    assert session.forget("user_7") and session.find_entity(7) is None
    days = (time.time() - PEOPLE[100].last_seen) / (24 * 60 * 60)
    assert abs(session.forget_older_than(days) - 99) <= 1
    assert abs(session.count_entities() - (COUNT - 100)) <= 1
    session.delete()


def test_an_input_peer_keeps_its_texts(location: str) -> None:
    """Those are on the server alone."""
    one = open_session(location)
    one.add_entities(PEOPLE)
    one.close()
    session = open_session(location, max_entities=MOST)
    person = PEOPLE[0]
    session.process_entities([types.InputPeerUser(person.id, 5)])
    assert session.find_entity(person.id).name == person.name
    session.save()
    assert session.find_entity(person.name).access_hash == session.find_entity(person.username).access_hash == 5
    assert {entity.id: entity for entity in session.entities()}[person.id][2:6] == (5, *person[3:6])
    session.delete()


def test_in_an_event_loop(location: str) -> None:
    one = open_session(location)
    one.add_entities(PEOPLE)
    one.close()
    session = open_session(location, max_entities=MOST)

    async def run() -> None:
        session.process_entities([entities.user(7000, 1, username="fresh")])
        for person in PEOPLE[::60]:
            found: Any = session.find_entity(person.username)
            assert (await found if inspect.isawaitable(found) else found) == person
        assert {entity.id async for entity in session.entities()} == {*range(1, COUNT + 1), 7000}
        await session.backup("copy")

    asyncio.run(run())
    with closing(open_session("copy")) as copied:
        assert copied.count_entities() == COUNT + 1
    session.delete()


def test_random_calls(database: str) -> None:
    machine = type("Machine", (BoundedMachine,), {"database": database})
    run_state_machine_as_test(machine, settings=FEW)


class BoundedMachine(StoreMachine):
    max_entities = 2


@pytest.mark.slow
def test_what_was_written_leaves_memory_later(location: str) -> None:
    session = open_session(location, max_entities=MOST)
    session.add_entities(PEOPLE)
    session.save()
    assert session._count_in_memory() == COUNT
    until(lambda: session._count_in_memory() <= MOST)
    assert sorted(session.entities()) == PEOPLE
    session.delete()

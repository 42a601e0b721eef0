"""Memory within bounds: who was seen the longest ago leaves memory, and is found in the file."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.bounds import index_of, is_indexed, people, until_settled
from support.files import dump
from support.forks import in_a_child
from support.locks import locked_by_another_process
from support.waiting import until
from telethon_session_rust import (
    Entity,
    RustMemorySession,
    RustSQLiteSession,
    RustStringSession,
    open_session,
    set_max_entities,
)

pytestmark = pytest.mark.any_release

COUNT = 1000
MOST = 80
PEOPLE = people(COUNT)


@pytest.fixture(autouse=True)
def without_limit() -> Iterator[None]:
    yield
    set_max_entities(None)


@pytest.fixture
def session() -> Iterator[Any]:
    """A session with people in its file, most of whom have left memory."""
    with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
        session.add_entities(PEOPLE)
        session.save()
        until_settled(session)
        yield session


def build_number() -> int:
    with closing(sqlite3.connect("people.session-index")) as connection:
        return connection.execute("select build from index_state").fetchone()[0]


def finds(session: Any, person: Entity) -> bool:
    keys = [person.id, person.username, f"+{person.phone}", person.name, person]
    return all(session.find_entity(key) == person for key in keys) and all(
        session.get_input_entity(key).access_hash == person.access_hash for key in keys[:-1]
    )


@pytest.mark.parametrize("seed", range(5))
def test_who_was_seen_the_longest_ago_leaves(seed: int) -> None:
    numbers = random.Random(seed)
    session = RustMemorySession(max_entities=MOST)
    dates = numbers.sample(range(10**6), COUNT)
    session.add_entities(person._replace(last_seen=date) for person, date in zip(PEOPLE, dates, strict=True))
    # Down to seven eighths, and no further.
    until(lambda: session._count_in_memory() <= MOST - MOST // 8)
    kept = {person.last_seen for person in session.entities()}
    assert len(kept) == MOST - MOST // 8
    assert kept == set(sorted(dates)[-len(kept) :])


def test_everyone_is_found(session: Any) -> None:
    for person in PEOPLE[::37]:
        assert finds(session, person)
    for key in ("user_0", "+79990000000", "Anna 0", COUNT + 1, -1):
        assert session.find_entity(key) is None
        with pytest.raises(ValueError):
            session.get_input_entity(key)
    assert session.count_entities() == session.count_entities("user") == COUNT
    assert sorted(session.entities()) == PEOPLE
    until(lambda: session._count_in_memory() <= MOST)


def test_the_index_answers(session: Any) -> None:
    """Who is not in a complete index is not looked for in all rows."""
    with closing(sqlite3.connect("people.session-index")) as index:
        index.execute("delete from texts")
        index.commit()
    assert session.find_entity("user_1") is None
    number = build_number()
    # Another program's commit makes it outdated.
    with closing(sqlite3.connect("people.session")) as other:
        other.execute("update entities set username = 'moved' where id = 2")
        other.commit()
    assert session.find_entity("user_1") == PEOPLE[0]
    assert session.find_entity("moved").id == 2 and session.find_entity("user_2") is None
    until(lambda: build_number() > number and is_indexed(index_of(session)))
    assert session.find_entity("moved").id == 2 and session.find_entity("user_1") == PEOPLE[0]


def test_own_changes_keep_the_index(session: Any) -> None:
    number = build_number()
    other = RustSQLiteSession("people", max_entities=MOST)
    for round in range(10):
        new = [person._replace(id=person.id + 10**6, username=f"new_{round}_{person.id}") for person in PEOPLE[:30]]
        (session, other)[round % 2].add_entities(new)
        (session, other)[round % 2].save()
        assert session.find_entity(f"new_{round}_5").id == other.find_entity(f"new_{round}_5").id == 10**6 + 5
    other.close()
    session.close()
    again = RustSQLiteSession("people", max_entities=MOST)
    assert again.find_entity("new_9_5").id == 10**6 + 5 and finds(again, PEOPLE[0])
    again.close()
    assert build_number() == number and is_indexed(Path("people.session-index"))


def test_telethon_writes_the_file(session: Any) -> None:
    with closing(SQLiteSession("people")) as theirs:
        for round in range(20):
            theirs.process_entities([entities.user(5000 + round, 3, username=f"theirs_{round}")])
            theirs.save()
            assert session.get_input_entity(f"theirs_{round}").user_id == 5000 + round
            # It is in memory, and changes in the file.
            theirs.process_entities([entities.user(1, 100 + round, username="user_1")])
            theirs.save()
            assert session.find_entity("user_1").access_hash == 100 + round
            until(lambda hash=100 + round: session.get_input_entity(1).access_hash == hash)


@pytest.mark.parametrize("kind", ["another program's", "no database", "a folder"])
def test_something_else_has_the_place_of_the_index(kind: str) -> None:
    place = Path("people.session-index")
    if kind == "a folder":
        place.mkdir()
    elif kind == "no database":
        place.write_bytes(b"notes" * 1000)
    else:
        with closing(sqlite3.connect(place)) as theirs:
            theirs.execute("create table notes (text)")
    before = None if place.is_dir() else place.read_bytes()
    with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
        session.add_entities(PEOPLE)
        session.save()
        until(lambda: session._count_in_memory() <= MOST)
        assert all(finds(session, person) for person in PEOPLE[::100])
        session.delete()
    assert place.is_dir() or place.read_bytes() == before


def test_a_damaged_index_is_made_again(session: Any) -> None:
    session.close()
    path = Path("people.session-index")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    for _ in range(2):
        with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
            assert all(finds(session, person) for person in PEOPLE[::100])


def test_damage_in_the_middle_is_repaired(session: Any) -> None:
    """The pages that are read at the beginning are intact."""
    path = index_of(session)
    number = build_number()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(path.stat().st_size - 3 * 4096))
    assert all(finds(session, person) for person in PEOPLE[::100])
    until(lambda: is_indexed(path) and all(finds(session, person) for person in PEOPLE[::100]))
    assert build_number() <= number
    with closing(sqlite3.connect(path)) as index:
        assert index.execute("pragma integrity_check").fetchone() == ("ok",)


def test_the_index_is_deleted_meanwhile(session: Any) -> None:
    index_of(session).unlink()
    session.add_entities([PEOPLE[0]._replace(id=5000, username="fresh_one", last_seen=1_800_000_000)])
    session.save()
    until(lambda: is_indexed(index_of(session)))
    # It is that of the open session, which continues it.
    number = build_number()
    session.add_entities([PEOPLE[0]._replace(id=5001, username="fresh_two", last_seen=1_800_000_000)])
    session.save()
    assert is_indexed(index_of(session)) and build_number() == number
    assert session.find_entity("fresh_one").id == 5000 and session.find_entity("fresh_two").id == 5001


def test_lookups_alone_notice_other_programs(session: Any) -> None:
    assert session.get_input_entity(3).access_hash == PEOPLE[2].access_hash
    number = build_number()
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(3, 33, username="user_3")])
        theirs.save()
    with pytest.raises(ValueError):
        session.get_input_entity("unknown_one")
    until(lambda: session.get_input_entity(3).access_hash == 33)
    until(lambda: is_indexed(index_of(session)) and build_number() > number)


def test_dates_do_not_keep_what_others_have_changed(session: Any) -> None:
    session.process_entities([entities.user(3, PEOPLE[2].access_hash, username="third", first_name="Anna")])
    session.save()
    # Only the date is not written.
    time.sleep(1)
    session.process_entities([entities.user(3, PEOPLE[2].access_hash, username="third", first_name="Anna")])
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(3, 33, username="third")])
        theirs.save()
    session.process_entities([entities.user(9000, 1, username="fresh")])
    session.save()
    until(lambda: session.get_input_entity(3).access_hash == 33)


def test_a_file_is_copied_over_another() -> None:
    """Both have had as many commits, and are as large."""
    for name in ("anna", "bert"):
        with closing(SQLiteSession(name)) as theirs:
            theirs.process_entities([entities.user(id, 1, username=f"{name}_{id}") for id in range(1, 100)])
            theirs.save()
    headers = [Path(f"{name}.session").read_bytes()[:100] for name in ("anna", "bert")]
    assert headers[0] == headers[1]
    with closing(RustSQLiteSession("anna", max_entities=MOST)) as session:
        until_settled(session)
    shutil.copyfile("bert.session", "anna.session")
    with closing(RustSQLiteSession("anna", max_entities=MOST)) as session:
        assert session.find_entity("bert_7").id == 7 and session.find_entity("anna_7") is None


def test_entities_have_the_texts_of_the_file(session: Any) -> None:
    """What is in memory may lack them, or be out of date."""
    person = PEOPLE[0]
    until(lambda: session._count_in_memory() < MOST)
    session.process_entities([types.InputPeerUser(person.id, 5)])
    # Before that is written, and after.
    assert session.find_entity(person.id).name == person.name
    session.save()
    found = {entity.id: entity for entity in session.entities()}
    assert found[person.id][2:6] == (5, *person[3:6])
    assert session.find_entity(person.username).id == person.id


def test_a_name_that_thousands_have() -> None:
    session = RustSQLiteSession("people", max_entities=MOST)
    session.add_entities(person._replace(name="Deleted Account", last_seen=5) for person in PEOPLE)
    session.save()
    until_settled(session)
    session.close()
    for _ in range(2):
        with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
            assert session.find_entity("Deleted Account") == PEOPLE[0]._replace(name="Deleted Account", last_seen=5)
            assert session._count_in_memory() <= 100
        Path("people.session-index").unlink()


def test_a_hostile_index_does_not_hang(session: Any) -> None:
    session.close()
    with closing(sqlite3.connect("people.session-index")) as index:
        index.execute("drop table texts")
        endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i as hash, i as id from n"
        index.execute(f"create view texts as {endless}")
    with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
        assert all(finds(session, person) for person in PEOPLE[::100])
        until(lambda: is_indexed(index_of(session)))


def test_another_file_has_taken_the_place(session: Any) -> None:
    session.close()
    Path("people.session").unlink()
    with closing(SQLiteSession("people")) as theirs:
        theirs.process_entities([entities.user(1, 2, username="other")])
        theirs.save()
    with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
        assert session.find_entity("other").id == 1 and session.find_entity("user_1") is None
        until_settled(session)
        assert session.find_entity("other").id == 1 and session.find_entity("user_1") is None


def test_deleted(session: Any) -> None:
    assert session.delete() and not list(Path().iterdir())


def test_the_index_is_the_owners_alone(session: Any) -> None:
    assert index_of(session).stat().st_mode & 0o777 == 0o600


def test_a_file_in_wal_mode(session: Any) -> None:
    session.close()
    with closing(sqlite3.connect("people.session")) as other:
        other.execute("pragma journal_mode = wal")
        with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
            session.add_entities([PEOPLE[0]._replace(id=5000, username="walter", last_seen=1_800_000_000)])
            session.save()
            assert session.find_entity("walter").id == 5000 and finds(session, PEOPLE[5])
            other.execute("update entities set username = 'other' where id = 7")
            other.commit()
            assert session.find_entity("other").id == 7 and session.find_entity("user_7") is None


def test_what_is_not_written_stays() -> None:
    with closing(RustSQLiteSession("people", max_entities=MOST)) as session:
        session.save()
        with locked_by_another_process("people.session"):
            session.add_entities(PEOPLE)
            time.sleep(1.5)
            assert session._count_in_memory() == COUNT
            for person in PEOPLE:
                assert session.get_entity_rows_by_id(person.id) == (person.id, person.access_hash)
        session.save()
        until_settled(session)
        assert len(dump("people.session")["entities"]) == COUNT


def test_forgetting(session: Any) -> None:
    assert session.forget("user_1") and session.forget(2) and not session.forget("user_1") and not session.forget(5555)
    assert session.find_entity(1) is session.find_entity("user_2") is None
    assert session.count_entities() == COUNT - 2
    days = (time.time() - PEOPLE[COUNT // 2].last_seen) / (24 * 60 * 60)
    forgotten = session.forget_older_than(days)
    assert abs(forgotten - (COUNT // 2 - 2)) <= 1
    assert session.count_entities() == len(list(session.entities())) == COUNT - 2 - forgotten
    session.save()
    assert len(dump("people.session")["entities"]) == COUNT - 2 - forgotten


def test_several_usernames(session: Any) -> None:
    if not entities.HAS_USERNAMES:
        pytest.skip("this Telethon knows one username")
    session.process_entities([entities.named(1, None, "first_one", "second_one")])
    session.process_entities([entities.named(3, None, "third_one", "fourth_one")])
    session.save()
    session.add_entities(person._replace(last_seen=2_000_000_000) for person in PEOPLE[500:600])
    session.save()
    until_settled(session)
    assert session.find_entity("second_one").id == 1 and session.find_entity("first_one").id == 1
    # One moves on.
    session.process_entities([entities.named(3, None, "third_one", "second_one")])
    assert session.find_entity("second_one").id == 3
    session.save()
    assert session.find_entity("second_one").id == 3 and session.find_entity("first_one").id == 1


def test_the_whole_program() -> None:
    set_max_entities(100)
    sessions = [RustSQLiteSession(name) for name in ("one", "two", "three")]
    for session in sessions:
        session.add_entities(PEOPLE)
        session.save()
    until(lambda: sum(session._count_in_memory() for session in sessions) <= 100)
    for session in sessions:
        assert finds(session, PEOPLE[0]) and session.count_entities() == COUNT
        assert session.max_entities is None and session._count_in_memory() > 0
    # A session without a store would forget, and one that is opened later may have all.
    memory = RustMemorySession()
    memory.add_entities(PEOPLE)
    set_max_entities(None)
    later = RustSQLiteSession("one")
    until(later._is_loaded)
    assert memory._count_in_memory() == later._count_in_memory() == COUNT
    for session in [*sessions, later]:
        session.close()


def test_sessions_that_are_not_used_give_up_their_share() -> None:
    set_max_entities(100)
    with closing(RustSQLiteSession("one")) as idle, closing(RustSQLiteSession("two")) as busy:
        idle.add_entities(PEOPLE[:90])
        idle.save()
        set_max_entities(None)
        for round in range(1, 21):
            busy.add_entities(person._replace(last_seen=1_800_000_000 + round) for person in PEOPLE[: 30 * round])
            busy.save()
        until(lambda: idle._count_in_memory() + busy._count_in_memory() <= 100)
        assert busy._count_in_memory() > 30 and idle._count_in_memory() < 60


def test_an_entity_file() -> None:
    with closing(RustStringSession(entity_file="people", max_entities=MOST)) as session:
        session.add_entities(PEOPLE)
        session.save()
        until(lambda: session._count_in_memory() <= MOST)
        assert all(finds(session, person) for person in PEOPLE[::100])


def test_copies_keep_the_bound() -> None:
    session = RustMemorySession(max_entities=MOST)
    session.add_entities(PEOPLE[:10])
    for copied in copy.copy(session), pickle.loads(pickle.dumps(session)):
        assert copied.max_entities == MOST and sorted(copied.entities()) == PEOPLE[:10]
    assert copy.copy(RustMemorySession()).max_entities is None


def test_a_backup_is_whole(session: Any) -> None:
    async def run() -> None:
        session.process_entities(entities.crowd(2 * MOST))
        await session.backup("copy")

    asyncio.run(run())
    assert len(dump("copy.session")["entities"]) == len(list(session.entities()))
    memory = RustMemorySession(max_entities=MOST)
    memory.add_entities(PEOPLE)
    asyncio.run(memory.backup("memory"))
    assert len(dump("memory.session")["entities"]) <= COUNT


def test_a_forked_child(session: Any) -> None:
    session.add_entities([PEOPLE[0]._replace(id=7777, username="unwritten", phone=None, name="New")])

    def run() -> None:
        assert all(finds(session, person) for person in PEOPLE[::100])
        assert session.find_entity("unwritten").id == 7777
        session.process_entities([entities.user(8888, 1, username="childs")])
        session.save()

    in_a_child(run)
    assert session.find_entity("childs").id == 8888 and session.find_entity("unwritten").id == 7777


def test_steps_in_an_event_loop(session: Any) -> None:
    async def run() -> set[int]:
        session.process_entities([entities.user(4444, 1, username="fresh")])
        assert session.get_input_entity("fresh").user_id == 4444 and finds(session, PEOPLE[1])
        return {person.id async for person in session.entities()}

    assert asyncio.run(run()) == {*range(1, COUNT + 1), 4444}


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), ("5", TypeError), (5.0, TypeError)]
)
@pytest.mark.parametrize(
    "make",
    [
        lambda value: RustMemorySession(max_entities=value),
        lambda value: RustSQLiteSession("people", max_entities=value),
        lambda value: RustStringSession(entity_file="people", max_entities=value),
        lambda value: open_session("people", max_entities=value),
        set_max_entities,
    ],
)
def test_not_a_number(make: Callable[[Any], Any], value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_entities must be"):
        make(value)
    assert not list(Path().iterdir())


def test_a_large_number() -> None:
    with closing(RustSQLiteSession("people", max_entities=2**100)) as session:
        session.add_entities(PEOPLE)
        assert session._count_in_memory() == COUNT and session.max_entities == 2**32 - 1


def test_read_only(session: Any) -> None:
    with pytest.raises(ValueError, match="read_only=True cannot have max_entities"):
        RustSQLiteSession("people", read_only=True, max_entities=5)
    set_max_entities(10)
    with closing(RustSQLiteSession("people", read_only=True)) as reading:
        until(lambda: reading._count_in_memory() == COUNT)


@given(st.data())
@settings(max_examples=20)
def test_random_dates(data: st.DataObject) -> None:
    """The latest stay, whatever the dates are; of equal ones any."""
    dates = data.draw(st.lists(st.sampled_from([1, 5, 6, 2**32 - 1]), min_size=1, max_size=40))
    most = data.draw(st.integers(1, 20))
    session = RustMemorySession(max_entities=most)
    session._put_rows((id, 1, None, None, None, date) for id, date in enumerate(dates, 1))
    until(lambda: session._count_in_memory() <= most)
    known = {entity.id: entity.last_seen for entity in session.entities()}
    expected = most - most // 8 if len(dates) > most else len(dates)
    assert len(known) == expected
    assert sorted(known.values()) == sorted(dates)[-expected:]

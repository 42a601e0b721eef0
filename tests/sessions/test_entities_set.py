"""`_entities`: the set of rows of a session in memory, compared with Telethon's; unused by a
session with a file.
"""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from support import entities
from support.files import dump
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession
from telethon_session_rust._rows import EntityRows

Row = tuple[Any, ...]

ids = st.sampled_from([0, 1, 2, 3, 4, -1, -2, -1000000000001, -1000000000002, 2**40])
texts = st.sampled_from([None, "anna", "bob", "a name that takes more room than another"])
rows = st.tuples(ids, st.none() | st.integers(-2, 2), texts, st.sampled_from([None, "7", "8"]), texts)
# One row per entity: order decides which of several remains, and a set has none.
row_sets = st.lists(rows, max_size=6, unique_by=lambda row: row[0]).map(set)
invalid = st.sampled_from([5, "anna", (), (1, 2), ("1", 2, None, None, None), (1.5, 2, None, None, None), frozenset()])
operands = row_sets | st.builds(frozenset, row_sets)
iterables = operands | st.lists(rows, max_size=6) | row_sets.map(list)

CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "|=": lambda entities, other: entities.__ior__(other),
    "-=": lambda entities, other: entities.__isub__(other),
    "&=": lambda entities, other: entities.__iand__(other),
    "^=": lambda entities, other: entities.__ixor__(other),
}
QUERIES: list[Callable[[Any, Any], Any]] = [
    lambda entities, other: entities | other,
    lambda entities, other: other | entities,
    lambda entities, other: entities & other,
    lambda entities, other: other & entities,
    lambda entities, other: entities - other,
    lambda entities, other: other - entities,
    lambda entities, other: entities ^ other,
    lambda entities, other: other ^ entities,
    lambda entities, other: entities.union(other, other),
    lambda entities, other: entities.intersection(other),
    lambda entities, other: entities.difference(other, [5]),
    lambda entities, other: entities.symmetric_difference(other),
    lambda entities, other: (entities == other, entities != other, entities < other, entities >= other),
    lambda entities, other: (entities.issubset(other), entities.issuperset(other), entities.isdisjoint(other)),
    lambda entities, other: (len(entities), bool(entities), [row in entities for row in other]),
    lambda entities, other: (entities.copy(), copy.copy(entities), copy.deepcopy(entities), set(entities)),
    # Python's sets read the elements of another set directly, and ignore its methods.
    lambda entities, other: set(other).__ior__(entities),
    lambda entities, other: sorted(entities, key=lambda row: row[0]),
    lambda entities, other: pickle.loads(pickle.dumps(entities)),
    lambda entities, other: json.dumps(sorted(map(list, entities), key=lambda row: row[0])),
    lambda entities, other: set(json.loads(json.dumps(repr(eval(repr(entities)) - {0} == entities)))),
]


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error)


class EntitiesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.theirs, self.ours = MemorySession(), RustMemorySession()
        self.kept: Any = None

    def our_entities(self, use_kept: bool) -> Any:
        """Returns a new set, as for a program that reads the attribute each time, or the one read
        before.
        """
        if not use_kept or self.kept is None:
            self.kept = self.ours._entities
        assert type(self.kept) is EntityRows and isinstance(self.kept, set)
        return self.kept

    def both(self, use_kept: bool, change: Callable[[Any], Any], order: Iterable[Any] = ()) -> None:
        before = set(self.theirs._entities)
        expected = outcome(lambda: change(self.theirs._entities))
        actual = outcome(lambda: change(self.our_entities(use_kept)))
        if isinstance(expected, type) or expected is None:
            assert actual is expected
        # Telethon keeps the old rows of an entity beside the new one.
        newest = {row[0]: row for row in [*order, *(self.theirs._entities - before)] if row not in before}
        old = {row for row in self.theirs._entities if newest.get(row[0], row) != row}
        self.theirs._entities -= old

    @rule(use_kept=st.booleans(), row=rows)
    def add(self, use_kept: bool, row: Row) -> None:
        self.both(use_kept, lambda entities: entities.add(row))

    @rule(use_kept=st.booleans(), method=st.sampled_from(["discard", "remove"]), row=rows | invalid, data=st.data())
    def remove(self, use_kept: bool, method: str, row: Any, data: st.DataObject) -> None:
        known = sorted(self.theirs._entities, key=lambda row: row[0])
        if known and data.draw(st.booleans()):
            row = data.draw(st.sampled_from(known))
            if data.draw(st.booleans()):
                # An equal but different object.
                row = (float(row[0]), *row[1:])
        self.both(use_kept, lambda entities: getattr(entities, method)(row))

    @rule(use_kept=st.booleans())
    def pop(self, use_kept: bool) -> None:
        entities = self.our_entities(use_kept)
        if not self.theirs._entities:
            with pytest.raises(KeyError):
                entities.pop()
        else:
            self.theirs._entities.remove(entities.pop())

    @rule(use_kept=st.booleans(), is_rare=st.integers(0, 4))
    def clear(self, use_kept: bool, is_rare: int) -> None:
        if is_rare == 0:
            self.both(use_kept, lambda entities: entities.clear())

    @rule(use_kept=st.booleans(), others=st.lists(iterables, max_size=2))
    def update(self, use_kept: bool, others: list[Any]) -> None:
        new = [row for other in others for row in other]
        if len({row[0] for row in new}) == len(set(new)):
            self.both(use_kept, lambda entities: entities.update(*others))

    @rule(use_kept=st.booleans(), others=st.lists(iterables | st.lists(rows | invalid), max_size=2))
    def difference_update(self, use_kept: bool, others: list[Any]) -> None:
        self.both(use_kept, lambda entities: entities.difference_update(*others))

    @rule(use_kept=st.booleans(), others=st.lists(iterables, max_size=2))
    def intersection_update(self, use_kept: bool, others: list[Any]) -> None:
        others = [[*other, *list(self.theirs._entities)[::2]] for other in others]
        self.both(use_kept, lambda entities: entities.intersection_update(*others))

    @rule(use_kept=st.booleans(), other=operands | st.lists(rows, max_size=3), operator=st.sampled_from([*CHANGES]))
    def operator(self, use_kept: bool, other: Any, operator: str) -> None:
        self.both(use_kept, lambda entities: CHANGES[operator](entities, other))

    @rule(use_kept=st.booleans(), other=row_sets)
    def symmetric_difference_update(self, use_kept: bool, other: set[Row]) -> None:
        other |= set(list(self.theirs._entities)[::2])
        other = set({row[0]: row for row in other}.values())
        self.both(use_kept, lambda entities: entities.symmetric_difference_update(other))

    @rule(other=row_sets, operator=st.sampled_from(["=", "|=", "-=", "own"]))
    def assign(self, other: set[Row], operator: str) -> None:
        if operator == "=":
            self.theirs._entities, self.ours._entities = set(other), other
        elif operator == "|=":
            new = {row[0] for row in other}
            self.theirs._entities = other | {row for row in self.theirs._entities if row[0] not in new}
            self.ours._entities |= other
        elif operator == "-=":
            self.theirs._entities -= other
            self.ours._entities -= other
        else:
            self.ours._entities = self.our_entities(True)
        self.kept = None

    @rule(users=st.lists(entities.users, max_size=4, unique_by=lambda user: user.id))
    def process_entities(self, users: list[Any]) -> None:
        new = {row[0] for row in self.theirs._entities_to_rows(users)}
        self.theirs._entities = {row for row in self.theirs._entities if row[0] not in new}
        for session in (self.theirs, self.ours):
            session.process_entities(users)
        self.kept = None

    @rule(use_kept=st.booleans(), other=operands)
    def query(self, use_kept: bool, other: Any) -> None:
        for query in QUERIES:
            expected, actual = query(self.theirs._entities, other), query(self.our_entities(use_kept), other)
            assert actual == expected
            assert type(actual) is type(expected) or isinstance(other, frozenset)

    @rule(key=st.sampled_from(["id", "username", "phone", "name"]), data=st.data())
    def look_up(self, key: str, data: st.DataObject) -> None:
        column = ("id", "hash", "username", "phone", "name").index(key)
        known = {row[column] for row in self.theirs._entities} - {None}
        wanted = data.draw(st.sampled_from([*sorted(known), 99 if key == "id" else "unknown"]))
        found = getattr(self.ours, f"get_entity_rows_by_{key}")(wanted)
        holders = [row for row in self.theirs._entities if row[column] == wanted]
        assert found in ([row[:2] for row in holders] or [None])
        assert (getattr(self.theirs, f"get_entity_rows_by_{key}")(wanted) is None) == (found is None)
        if key == "username":
            # Our lookup keeps the username of one entity only.
            for row in holders:
                if row[:2] != found:
                    self.theirs._entities.remove(row)
                    self.theirs._entities.add((*row[:2], None, *row[3:]))
            self.kept = None

    @invariant()
    def both_are_equal(self) -> None:
        assert self.ours._entities == self.theirs._entities
        assert self.kept is None or self.kept == self.theirs._entities


TestEntities = EntitiesMachine.TestCase


def filled(count: int, name: Callable[[int], str] = "Anna {}".format) -> RustMemorySession:
    session = RustMemorySession()
    session._entities = {(n, n, f"user{n}", f"7999{n:07}", name(n)) for n in range(1, count + 1)}
    return session


def pop_all(session: Any) -> None:
    while session._entities:
        session._entities.pop()


def discard_each(session: Any) -> None:
    for row in list(session._entities):
        session._entities.discard(row)


def add_each(session: Any) -> None:
    for row in [(10**6 + n, 1, None, None, None) for n in range(len(session._entities))]:
        session._entities.add(row)


def contains_each(session: Any) -> None:
    assert all(row in session._entities for row in list(session._entities))


def remove_all(session: Any) -> None:
    session._entities -= set(session._entities)


ALL_AT_ONCE = {
    "clear": lambda session: session._entities.clear(),
    "-=": remove_all,
    "&=": lambda session: session._entities.intersection_update(()),
    "= set()": lambda session: setattr(session, "_entities", set()),
}
ONE_BY_ONE = {"pop": pop_all, "discard": discard_each, "add": add_each, "in": contains_each}


@pytest.mark.parametrize("operation", [*ALL_AT_ONCE, *ONE_BY_ONE])
def test_linear_time(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    do = {**ALL_AT_ONCE, **ONE_BY_ONE}[operation]
    created = []
    init = EntityRows.__init__
    monkeypatch.setattr(EntityRows, "__init__", lambda self, session: (created.append(1), init(self, session))[1])

    def cpu_seconds(count: int) -> float:
        times = []
        for _ in range(3):
            # Bulk operations are tested with a name that all entities share.
            session = filled(count, "Anna {}".format if operation in ONE_BY_ONE else "Anna".format)
            created.clear()
            start = time.thread_time()
            do(session)
            times.append(time.thread_time() - start)
            assert len(created) <= 2
            assert (len(session._entities) == 0) == (operation not in ("add", "in"))
        return min(times)

    few, many = cpu_seconds(4_000), cpu_seconds(16_000)
    assert many < 10 * few


@pytest.mark.parametrize("base", [RustMemorySession, RustStringSession])
def test_a_kept_set(base: Any) -> None:
    session = base()
    session.process_entities([entities.user(1, 2, first_name="Anna")])
    kept = session._entities
    session.process_entities([entities.user(3, 4), entities.user(1, 2, first_name="Anne")])
    # It does not show later changes, but changes made through it take effect.
    assert kept == {(1, 2, None, None, "Anna")}
    kept.discard((1, 2, None, None, "Anna"))
    kept.add((5, 6, None, None, None))
    assert {row[0] for row in session._entities} == {1, 3, 5}
    kept.clear()
    assert session._entities == set() == kept
    session._entities = {(7, 8, None, None, None)}
    kept.add((9, 10, None, None, None))
    assert session._entities == {(7, 8, None, None, None)}
    session._entities = kept
    assert session._entities == {(9, 10, None, None, None)}
    del session
    kept.clear()
    assert kept == set()


def test_an_invalid_row_changes_nothing() -> None:
    session = filled(3)
    before = set(session._entities)
    with pytest.raises((TypeError, ValueError)):
        session._entities.update([(9, 9, None, None, None), (8, 8)])
    with pytest.raises((TypeError, ValueError)):
        session._entities = [(9, 9, None, None, None), "anna"]
    with pytest.raises(TypeError):
        session._entities.add([9, 9, None, None, None])
    assert session._entities == before


def test_changes_in_threads_while_others_receive() -> None:
    session = filled(100)

    def change(first: int) -> None:
        for n in range(first, first + 100):
            session._entities.add((n, 1, None, None, None))
            session._entities |= {(n + 100, 1, None, None, None)}
            session._entities.discard((n, 1, None, None, None))

    def receive(first: int) -> None:
        for n in range(first, first + 200):
            session.process_entities([entities.user(n, 1)])

    tasks = [(change, 1_000), (change, 2_000), (receive, 3_000), (receive, 4_000)]
    with ThreadPoolExecutor(len(tasks)) as executor:
        for future in [executor.submit(task, first) for task, first in tasks]:
            future.result()
    expected = {*range(1, 101), *range(1_100, 1_200), *range(2_100, 2_200), *range(3_000, 3_200), *range(4_000, 4_200)}
    assert {row[0] for row in session._entities} == {entity.id for entity in session.entities()} == expected
    assert all(session.get_entity_rows_by_id(id) for id in expected)


def test_a_set_read_during_a_change_is_not_cached() -> None:
    class Busy(RustMemorySession):
        def _scan(self, *arguments: Any) -> Any:
            scan = super()._scan(*arguments)
            super().process_entities([entities.user(7, 1)])
            return scan

    session = Busy()
    for n in range(3):
        assert (n, 1, None, None, None) not in session._entities
        session.process_entities([entities.user(n, 1)])
        session._entities.add((n + 10, 1, None, None, None))
    assert {row[0] for row in session._entities} == {0, 1, 2, 7, 10, 11, 12}


def test_the_cached_set_is_freed_when_entities_are_received() -> None:
    session = filled(10)
    assert session._entities is session._entities
    for n in range(3):
        session.process_entities([entities.user(100 + n, 1)])
        session.get_entity_rows_by_id(1)
    assert session._kept_set() is None


FILES = {
    "SQLite in memory": lambda: RustSQLiteSession(None),
    "SQLite": lambda: RustSQLiteSession("people"),
    "entity file": lambda: RustStringSession(entity_file="people"),
}


@pytest.mark.parametrize("kind", FILES)
def test_with_a_file_it_has_no_effect(kind: str) -> None:
    for session in (SQLiteSession("theirs"), FILES[kind]()):
        session.process_entities(entities.crowd(50))
        assert type(session._entities) is set and session._entities == set()
        kept = session._entities
        kept.add((5, 6, None, None, None))
        assert session._entities is kept
        session._entities |= {(7, 8, None, None, None)}
        session._entities.pop()
        session._entities.clear()
        session._entities = {(999, 9, None, None, None)}
        assert session._entities == {(999, 9, None, None, None)}
        with pytest.raises(ValueError):
            session.get_input_entity(999)
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.save()
        session.close()
    assert {len(dump(path)["entities"]) for path in Path().glob("*.session")} == {50}


def test_a_subclass_may_set_it_before_the_file_is_opened() -> None:
    class Own(RustSQLiteSession):
        def __init__(self) -> None:
            self._entities = set()
            super().__init__("own")

    session = Own()
    session.process_entities(entities.crowd(5))
    assert session.get_input_entity("user1")
    session.close()

"""Entities with several usernames: each active one finds the entity that was seen with it last."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.clock import second_of
from support.files import dump
from telethon_session_rust import Entity, RustMemorySession, RustSQLiteSession, RustStringSession

if not entities.HAS_USERNAMES:
    pytest.skip("this Telethon has no usernames", allow_module_level=True)

named = entities.named
TABLE = "telethon_session_rust_usernames"
SESSIONS = {
    "memory": RustMemorySession,
    "SQLite in memory": lambda: RustSQLiteSession(None),
    "SQLite": lambda: RustSQLiteSession("anna"),
    "entity file": lambda: RustStringSession(entity_file="anna"),
}


@pytest.fixture(params=SESSIONS)
def session(request: pytest.FixtureRequest) -> Any:
    return SESSIONS[request.param]()


def owner(session: Any, username: str) -> int | None:
    """Returns the ID of the user with a username, looked up in two ways."""
    found = session.get_entity_rows_by_username(username)
    try:
        peer = session.get_input_entity(f"@{username}")
    except ValueError:
        peer = None
    assert (found and found[0]) == (peer and peer.user_id)
    return found and found[0]


def owners(session: Any, usernames: str) -> list[int | None]:
    return [owner(session, username) for username in usernames.split()]


def test_each_active_username_finds_its_owner(session: Any) -> None:
    session.process_entities([named(1, "Anna", "Anna", "Annie_1", "ÄNNE", inactive=("old_anna",))])
    session.process_entities([named(2, None, "bob", "bobby")])
    assert owners(session, "anna annie_1 bob bobby old_anna") == [1, 1, 2, 2, None]
    assert session.get_entity_rows_by_username("änne") == (1, 1)
    channel = entities.channel(3, 4, usernames=[types.Username("news", active=True)])
    session.process_entities(entities.resolved_peer([channel], []))
    assert session.get_input_entity("https://t.me/news") == types.InputPeerChannel(3, 4)
    rows = {entity.id: entity.username for entity in session.entities()}
    assert rows == {1: "anna", 2: "bob", 3: "news"}
    session.close()


def test_usernames_move_and_go(session: Any) -> None:
    """All of it happens in one second, so dates do not tell."""
    session.process_entities([named(5, None, "first", "second"), named(2, "anna", "anna", "third")])
    session.process_entities([named(3, "first", "second")])
    assert owners(session, "first second third anna") == [3, 3, 2, 2]
    session.process_entities([entities.user(2, username="anna"), entities.user(1, username="second")])
    assert owners(session, "first second third anna") == [3, 1, None, 2]
    session.process_entities([entities.user(1), entities.user(3)])
    assert owners(session, "first second third anna") == [None, None, None, 2]
    session.close()


def test_subclasses_and_odd_values(session: Any) -> None:
    class User(types.User):  # type: ignore[misc]
        pass

    class Broken:
        active = True

        @property
        def username(self) -> str:
            raise RuntimeError("no username")

    active = types.Username("fine", active=True)
    for n, usernames in enumerate(
        [
            (active,),
            [active, types.Username("x" * 70000, active=True)],
            [active, Broken(), active],
            "text",
            5,
            {1: 2},
            [active, None, types.Username(5, active=True), types.Username("\ud800", active=True), object()],
        ]
        * 2
    ):
        cls = User if n % 2 else types.User
        session.process_entities([cls(n + 1, access_hash=1, username="plain", usernames=usernames)])
        assert owner(session, "plain") == n + 1
        if isinstance(usernames, (list, tuple)):
            assert owner(session, "fine") == n + 1
    many = [types.Username(f"name_{n}", active=True) for n in range(1000)]
    session.process_entities([types.User(1, access_hash=1, usernames=many)])
    assert owners(session, "name_0 name_50") == [1, 1]
    session.close()


def test_rows_leave_other_usernames_alone(session: Any) -> None:
    session.process_entities([named(1, "anna", "anna", "annie"), named(2, None, "bob", "bobby")])
    session.add_entities([entity._replace(name="Somebody") for entity in [*session.entities()]])
    assert {entity.name for entity in session.entities()} == {"Somebody"}
    assert owners(session, "anna annie bob bobby") == [1, 1, 2, 2]
    session.add_entities([Entity(1, "user", 1, "berta")])
    assert owners(session, "anna annie berta") == [None, None, 1]
    session.close()


def test_copies_have_all_usernames() -> None:
    session = RustMemorySession()
    session.process_entities([named(1, "anna", "anna", "annie")])
    for other in (copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        assert owners(other, "anna annie") == [1, 1]
    (row,) = session._entities
    assert row == (1, 1, "anna", None, None)
    session._entities.discard(row)
    assert owners(session, "anna annie") == [None, None]


@pytest.mark.parametrize("waits", [True, False])
def test_after_a_restart(waits: bool) -> None:
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities([entities.user(n, username=f"user_{n}") for n in range(10, 3000)])
        session.process_entities([named(1, None, "first", "second"), named(2, "anna", "third")])
    with closing(RustSQLiteSession("anna")) as session:
        while waits and not session._is_loaded():
            pass
        assert owners(session, "first second third anna") == [1, 1, 2, 2]
        session.process_entities([named(1, None, "second"), named(3, None, "first", "third")])
    with closing(RustSQLiteSession("anna")) as session:
        assert owners(session, "first second third anna") == [3, 1, 3, 2]
        assert {entity.id: entity.username for entity in session.entities() if entity.id < 10} == {
            1: "second",
            2: "anna",
            3: "first",
        }


def test_a_file_without_other_usernames_is_telethons() -> None:
    def receive(session: Any) -> None:
        several = [types.Username("anna", editable=True, active=True), types.Username("old")]
        session.process_entities([entities.user(1, username="anna", usernames=several), entities.user(2, usernames=[])])

    for cls, name in ((SQLiteSession, "theirs"), (RustSQLiteSession, "ours")):
        with closing(cls(name)) as session:
            second_of(lambda session=session: receive(session))
            session.save()
    theirs, ours = dump("theirs.session"), dump("ours.session")
    assert theirs["schema"] == ours["schema"]
    assert [row[:5] for row in theirs["entities"]] == [row[:5] for row in ours["entities"]]


def test_telethon_ignores_the_table() -> None:
    received = [named(1, None, "first", "second"), named(2, "anna", "anna", "third")]
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities(received)
    with closing(SQLiteSession("theirs")) as theirs:
        theirs.process_entities(received)
        theirs.save()
    assert [row[:5] for row in dump("anna.session")["entities"]] == [
        row[:5] for row in dump("theirs.session")["entities"]
    ]
    with closing(SQLiteSession("anna")) as session:
        assert session.get_input_entity("anna") == types.InputPeerUser(2, 1)
        # It stores them again as it knows them.
        session.process_entities(received)
        session.save()
    with closing(RustSQLiteSession("anna")) as session:
        assert owners(session, "first second third anna") == [1, 1, 2, 2]


def test_what_telethon_stores_later_wins() -> None:
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities([named(9, None, "first", "second"), named(2, "anna", "anna", "third")])
    with closing(SQLiteSession("anna")) as session:
        # Perhaps in the same second.
        session.process_entities([entities.user(1, username="second")])
        session.save()
    with closing(sqlite3.connect("anna.session")) as file:
        # As it would a day later: this user has another username now.
        file.execute("update entities set username = 'berta', date = date + 86400 where id = 2")
        file.commit()
    for owner_of_second in (1, None):
        with closing(RustSQLiteSession("anna")) as session:
            assert owners(session, "first second third anna berta") == [9, owner_of_second, None, None, 2]
            # The one that had it before does not get it back.
            session.process_entities([entities.user(1)])
            assert owner(session, "second") is None


@pytest.mark.parametrize(
    "statement",
    [
        f"create view {TABLE} as with recursive n as (select 1 as n union all select n from n) select n from n",
        f"create table {TABLE} (anything)",
        f"create table {TABLE} (username text primary key, id, position, main, date)",
    ],
)
def test_other_things_of_that_name_do_no_harm(statement: str) -> None:
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute(statement)
        if "main" in statement:
            rows = [
                (None, 1, 0, None, 0),
                ("x", "y", 0, 1.5, "z"),
                ("first", 2**62, 0, None, -5),
                (b"b", 1, 1, b"", None),
            ]
            file.executemany(f"insert into {TABLE} values (?, ?, ?, ?, ?)", rows)
        file.commit()
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities([named(1, "anna", "anna", "first"), entities.user(2, username="bob")])
        assert owners(session, "anna first bob") == [1, 1, 2]
    with closing(RustSQLiteSession("anna")) as session:
        assert owners(session, "anna bob") == [1, 2]


def _receive(usernames: list[str]) -> None:
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities([named(7, None, *usernames)])


def test_another_process_moves_a_username() -> None:
    with closing(RustSQLiteSession("anna")) as session:
        session.process_entities([named(1, None, "first", "second")])
        session.save()
        process = multiprocessing.get_context("spawn").Process(target=_receive, args=[["second", "third"]])
        process.start()
        process.join()
        assert owner(session, "third") == 7
        while not session._is_loaded():
            pass
        assert owners(session, "first second third") == [1, 7, 7]


class UsernamesMachine(RuleBasedStateMachine):
    """Moves usernames at random, and compares with a model."""

    USERNAMES = ("anna", "berta", "clara", "dora", "emma")

    ours: Any

    @initialize()
    def begin(self) -> None:
        # What each entity is called: when it was seen, its own username, and the others.
        self.model: dict[int, tuple[int, str | None, list[str]]] = {}
        self.open()

    def open(self) -> None:
        self.ours = RustMemorySession()

    def load(self) -> None:
        """Waits until everything that is stored is in memory."""

    @rule(
        id=st.integers(1, 5),
        username=st.none() | st.sampled_from(USERNAMES),
        others=st.lists(st.sampled_from(USERNAMES), max_size=3),
    )
    def receive(self, id: int, username: str | None, others: list[str]) -> None:
        # Dates have whole seconds. Of what is read later, they do not tell which came first.
        self.load()
        seen = second_of(lambda: self.ours.process_entities([named(id, username, *others)]))
        aliases = [name for name in dict.fromkeys(others) if name != username]
        for other, (date, main, theirs) in self.model.items():
            main = None if main in aliases and other != id else main
            theirs = [name for name in theirs if name not in aliases and name != username]
            self.model[other] = (date, main, theirs)
        self.model[id] = (seen, username, aliases)

    @rule(username=st.sampled_from(USERNAMES))
    def look_up(self, username: str) -> None:
        expected = next((id for id, (*_, aliases) in self.model.items() if username in aliases), None)
        if expected is None:
            holders = [(date, id) for id, (date, main, _) in self.model.items() if main == username]
            expected = max(holders)[1] if holders else None
        assert owner(self.ours, username) == expected
        for id, (date, main, aliases) in self.model.items():
            if main == username and id != expected:
                self.model[id] = (date, None, aliases)

    @rule()
    def list_all(self) -> None:
        expected = {
            id: next(iter([*([main] if main else []), *rest]), None) for id, (_, main, rest) in self.model.items()
        }
        assert {entity.id: entity.username for entity in self.ours.entities()} == expected

    def teardown(self) -> None:
        if hasattr(self, "ours"):
            for username in self.USERNAMES:
                self.look_up(username)
            self.ours.close()


class FileUsernamesMachine(UsernamesMachine):
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        os.chdir(self.folder.name)
        self.ours = RustSQLiteSession("ours")

    @rule(waits=st.booleans())
    def reopen(self, waits: bool) -> None:
        self.ours.close()
        self.ours = RustSQLiteSession("ours")
        if waits:
            self.load()

    def load(self) -> None:
        while not self.ours._is_loaded():
            pass

    @rule()
    def open_with_telethon(self) -> None:
        self.ours.save()
        with closing(SQLiteSession(str(Path("ours.session")))) as theirs:
            theirs.save()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestUsernamesMachine = UsernamesMachine.TestCase
TestFileUsernamesMachine = FileUsernamesMachine.TestCase

"""Each test as many times at once as there are threads, with sessions that all of them share, if pytest is told to:

    pip install pytest-run-parallel
    pytest --parallel-threads=8 tests/sessions/test_parallel.py

Without that each is a test like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import StringSession
from telethon.tl import types

from support import entities
from support.counters import tried
from support.files import dump
from support.reference import ReferenceMemorySession
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

CROWD = entities.crowd(500)
# So many people each thread tells of; nobody else tells of them.
EACH = 10
KEYS = [AuthKey(bytes([n]) * 256) for n in range(1, 9)]


LOCK = Lock()
NUMBERS = count(1)


def a_number() -> int:
    """Nobody else gets it."""
    with LOCK:
        return next(NUMBERS)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the place of the one that each test has: threads have one current folder between them."""
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module", params=["memory", "file", "string"])
def session(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    """One for all tests and threads; a file has in the end what it was told, and is sound."""
    path = folder / "anna.session"
    makers = {"memory": RustMemorySession, "file": lambda: RustSQLiteSession(path), "string": RustStringSession}
    session = makers[request.param]()
    session.set_dc(2, "149.154.167.51", 443)
    session.process_entities(CROWD)
    session.told = []
    yield session
    session.close()
    if request.param == "file":
        ids = {row[0] for row in dump(path)["entities"]}
        assert {id for number in session.told for id in ids_of(number)} <= ids
        assert len(ids) == len(CROWD) + EACH * len(session.told)


def ids_of(number: int) -> range:
    return range(10_000 + number * EACH, 10_000 + (number + 1) * EACH)


def people(number: int) -> list[types.User]:
    return [entities.user(id, id * 3, username=f"of_{id}", first_name=f"Anna {id}") for id in ids_of(number)]


def tell(session: Any) -> int:
    number = a_number()
    session.process_entities(people(number))
    session.told.append(number)
    return number


def find(session: Any, number: int) -> None:
    for id in ids_of(number):
        for key in (id, f"t.me/of_{id}", f"Anna {id}", types.PeerUser(id)):
            assert session.get_input_entity(key) == types.InputPeerUser(id, id * 3)


def answers(session: Any) -> list[Any]:
    """For whom all know, and whom nobody does."""

    def found(key: Any) -> Any:
        try:
            return session.get_input_entity(key).to_dict()
        except ValueError:
            return None

    keys = [1, 5, -7, "user1", "@Channel_5", "Группа 7", "+7 999 0000001", "nobody", "+7 000", types.PeerChannel(5)]
    return [found(key) for key in keys]


def test_taken_and_found(session: Any) -> None:
    number = tell(session)
    for _ in range(20):
        session.process_entities(people(number))
        find(session, number)
    tried("threads")


def test_the_same_answers_as_telethons(session: Any) -> None:
    theirs = ReferenceMemorySession()
    theirs.process_entities(CROWD)
    for _ in range(100):
        assert answers(session) == answers(theirs)
    tried("threads")


def test_states_and_files(session: Any) -> None:
    number = a_number()
    for pts in range(200):
        session.set_update_state(number, types.updates.State(pts, 1, entities.DATE, 1, 0))
        assert session.get_update_state(number).pts == pts
        session.cache_file(number.to_bytes(16, "big"), pts, types.InputPhoto(number, pts, b""))
        assert session.get_file(number.to_bytes(16, "big"), pts + 1, types.InputPhoto) is None
    assert dict(session.get_update_states())[number].pts == 199
    tried("threads")


def test_save_and_close(session: Any) -> None:
    number = tell(session)
    for _ in range(10):
        session.save()
        find(session, number)
        session.close()
        find(session, number)
    tried("threads")


def test_the_login(session: Any) -> None:
    """It is always one that some thread gave."""
    for key in KEYS:
        session.auth_key = key
        assert session.auth_key in KEYS
        session.save()
    tried("threads")


def test_a_string() -> None:
    theirs = StringSession()
    theirs.set_dc(2, "149.154.167.51", 443)
    theirs.auth_key = KEYS[0]
    for _ in range(100):
        ours = RustStringSession(theirs.save())
        assert (ours.dc_id, ours.server_address, ours.port) == (2, "149.154.167.51", 443)
        assert ours.save() == StringSession.save(ours) == theirs.save()
    tried("threads")


def test_a_file_for_each(folder: Path) -> None:
    number = a_number()
    path = folder / f"own_{number}.session"
    for _ in range(5):
        session = RustSQLiteSession(path)
        session.process_entities(people(number))
        find(session, number)
        session.close()
    assert {row[0] for row in dump(path)["entities"]} == set(ids_of(number))
    tried("threads")


def test_a_file_for_all(folder: Path) -> None:
    for _ in range(5):
        number = a_number()
        session = RustSQLiteSession(folder / "shared.session")
        session.process_entities(people(number))
        session.save()
        session.close()
        session = RustSQLiteSession(folder / "shared.session")
        until(lambda session=session, number=number: knows(session, number))
        session.close()
    tried("threads")


def knows(session: Any, number: int) -> bool:
    """A lookup does not wait long for a file that others are writing."""
    try:
        find(session, number)
    except ValueError:
        return False
    return True

"""Runs each test in several threads at once, with sessions that all threads share:

    pip install pytest-run-parallel
    pytest --parallel-threads=8 tests/sessions/test_parallel.py

Without the option, each test runs once.
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
from support.counters import tally
from support.files import dump
from support.reference import ReferenceMemorySession
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

CROWD = entities.crowd(500)
# Each thread adds this many entities of its own.
EACH = 10
KEYS = [AuthKey(bytes([n]) * 256) for n in range(1, 9)]


LOCK = Lock()
NUMBERS = count(1)


def unique_number() -> int:
    with LOCK:
        return next(NUMBERS)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Replaces the folder of each test, because all threads share one working directory."""
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module", params=["memory", "file", "string"])
def session(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    """Yields one session for all tests and threads. At the end, the file must contain everything
    that was added.
    """
    path = folder / "anna.session"
    makers = {"memory": RustMemorySession, "file": lambda: RustSQLiteSession(path), "string": RustStringSession}
    session = makers[request.param]()
    session.set_dc(2, "149.154.167.51", 443)
    session.process_entities(CROWD)
    session.added_numbers = []
    yield session
    session.close()
    if request.param == "file":
        ids = {row[0] for row in dump(path)["entities"]}
        assert {id for number in session.added_numbers for id in ids_of(number)} <= ids
        assert len(ids) == len(CROWD) + EACH * len(session.added_numbers)


def ids_of(number: int) -> range:
    return range(10_000 + number * EACH, 10_000 + (number + 1) * EACH)


def users_of(number: int) -> list[types.User]:
    return [entities.user(id, id * 3, username=f"of_{id}", first_name=f"Anna {id}") for id in ids_of(number)]


def add_users(session: Any) -> int:
    number = unique_number()
    session.process_entities(users_of(number))
    session.added_numbers.append(number)
    return number


def assert_found(session: Any, number: int) -> None:
    for id in ids_of(number):
        for key in (id, f"t.me/of_{id}", f"Anna {id}", types.PeerUser(id)):
            assert session.get_input_entity(key) == types.InputPeerUser(id, id * 3)


def lookups(session: Any) -> list[Any]:
    """Returns the results for shared and for unknown entities."""

    def found(key: Any) -> Any:
        try:
            return session.get_input_entity(key).to_dict()
        except ValueError:
            return None

    keys = [1, 5, -7, "user1", "@Channel_5", "Группа 7", "+7 999 0000001", "unknown", "+7 000", types.PeerChannel(5)]
    return [found(key) for key in keys]


def test_added_entities_are_found(session: Any) -> None:
    number = add_users(session)
    for _ in range(20):
        session.process_entities(users_of(number))
        assert_found(session, number)
    tally("threads")


def test_lookups_match_telethon(session: Any) -> None:
    theirs = ReferenceMemorySession()
    theirs.process_entities(CROWD)
    for _ in range(100):
        assert lookups(session) == lookups(theirs)
    tally("threads")


def test_update_states_and_sent_files(session: Any) -> None:
    number = unique_number()
    for pts in range(200):
        session.set_update_state(number, types.updates.State(pts, 1, entities.DATE, 1, 0))
        assert session.get_update_state(number).pts == pts
        session.cache_file(number.to_bytes(16, "big"), pts, types.InputPhoto(number, pts, b""))
        assert session.get_file(number.to_bytes(16, "big"), pts + 1, types.InputPhoto) is None
    assert dict(session.get_update_states())[number].pts == 199
    tally("threads")


def test_save_and_close(session: Any) -> None:
    number = add_users(session)
    for _ in range(10):
        session.save()
        assert_found(session, number)
        session.close()
        assert_found(session, number)
    tally("threads")


def test_auth_key(session: Any) -> None:
    """The key is always one that a thread has set."""
    for key in KEYS:
        session.auth_key = key
        assert session.auth_key in KEYS
        session.save()
    tally("threads")


def test_session_strings() -> None:
    theirs = StringSession()
    theirs.set_dc(2, "149.154.167.51", 443)
    theirs.auth_key = KEYS[0]
    for _ in range(100):
        ours = RustStringSession(theirs.save())
        assert (ours.dc_id, ours.server_address, ours.port) == (2, "149.154.167.51", 443)
        assert ours.save() == StringSession.save(ours) == theirs.save()
    tally("threads")


def test_one_file_per_thread(folder: Path) -> None:
    number = unique_number()
    path = folder / f"own_{number}.session"
    for _ in range(5):
        session = RustSQLiteSession(path)
        session.process_entities(users_of(number))
        assert_found(session, number)
        session.close()
    assert {row[0] for row in dump(path)["entities"]} == set(ids_of(number))
    tally("threads")


def test_a_file_shared_by_all_threads(folder: Path) -> None:
    for _ in range(5):
        number = unique_number()
        session = RustSQLiteSession(folder / "shared.session")
        session.process_entities(users_of(number))
        session.save()
        session.close()
        session = RustSQLiteSession(folder / "shared.session")
        until(lambda session=session, number=number: is_found(session, number))
        session.close()
    tally("threads")


def is_found(session: Any, number: int) -> bool:
    """Returns `True` if all are found. A lookup does not wait long for a file that others are
    writing.
    """
    try:
        assert_found(session, number)
    except ValueError:
        return False
    return True

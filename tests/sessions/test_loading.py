"""A file with many entities can be used at once, while it is still being loaded."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from telethon.tl import types

from support import entities
from support.clock import second_of
from support.counters import tally
from support.files import dump
from support.reference import ReferenceSQLiteSession
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.any_release

COUNT = 20_000
CROWD = entities.crowd(COUNT)


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("loading") / "big.session")
    session = ReferenceSQLiteSession(path)
    session.process_entities(CROWD)
    session.close()
    return path


@pytest.fixture
def sessions(big_file: str) -> tuple[Any, Any]:
    """Both sessions, just opened; ours has not loaded its file yet."""
    for name in ("theirs", "ours"):
        shutil.copyfile(big_file, f"{name}.session")
    return ReferenceSQLiteSession("theirs"), RustSQLiteSession("ours")


def descriptors_of(path: str) -> list[str]:
    """Returns the descriptors of a file that are open, where the system tells."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return []
    wanted = Path(path).resolve()
    return [link.name for link in folder.iterdir() if link.exists() and link.resolve() == wanted]


def found(session: Any, key: Any) -> Any:
    try:
        return session.get_input_entity(key).to_dict()
    except ValueError:
        return None


def any_key(rng: random.Random) -> Any:
    id = rng.randint(1, COUNT + 10)
    return rng.choice(
        [id, -id, -1000000000000 - id, f"User{id}", f"@channel_{id}", f"+7 999 {id:07}", f"Анна {id} П", f"Группа {id}"]
    )


@pytest.mark.parametrize("seed", range(10))
def test_lookups_while_loading(sessions: tuple[Any, Any], seed: int) -> None:
    theirs, ours = sessions
    rng = random.Random(seed)
    for key in [any_key(rng) for _ in range(300)]:
        assert found(ours, key) == found(theirs, key), key


def test_lookups_all_the_time_do_not_keep_it_from_loading(sessions: tuple[Any, Any]) -> None:
    theirs, ours = sessions
    rng, lookups = random.Random(0), 0
    while not ours._is_loaded():
        # A name of no entity has the whole file read.
        assert found(ours, "nobody") is None
        key = any_key(rng)
        assert found(ours, key) == found(theirs, key), key
        lookups += 1
    tally("lookups while loading", lookups)
    for key in [any_key(rng) for _ in range(300)]:
        assert found(ours, key) == found(theirs, key), key
    ours.close()
    assert not descriptors_of("ours.session")


def test_closing_while_it_is_loaded_beside_lookups(sessions: tuple[Any, Any]) -> None:
    _, ours = sessions
    for n in range(1, 30):
        for _ in range(n % 10):
            assert found(ours, "nobody") is None
        ours.process_entities([types.InputPeerUser(n, n)])
        ours.close()
        assert not descriptors_of("ours.session")
        assert found(ours, types.PeerUser(n)) == types.InputPeerUser(n, n).to_dict()


def changed(entity: Any, rng: random.Random) -> Any:
    """Returns a known entity as received later: renamed, or as an input peer, which has no names."""
    entity = deepcopy(entity)
    if isinstance(entity, types.User) and rng.random() < 0.3:
        return types.InputPeerUser(entity.id, rng.randint(1, 99))
    if isinstance(entity, types.User):
        entity.username = rng.choice([None, entity.username, f"user{rng.randint(1, COUNT)}"])
        entity.first_name = rng.choice([entity.first_name, "Anna"])
    return entity


@pytest.mark.parametrize("seed", range(10))
def test_entities_received_while_loading_take_precedence(sessions: tuple[Any, Any], seed: int) -> None:
    theirs, ours = sessions
    rng = random.Random(seed)
    for page in range(20):
        received = [changed(entity, rng) for entity in rng.sample(CROWD, 10)]
        second = second_of(lambda received=received: ours.process_entities(received))
        with patch("time.time", lambda second=second: float(second)):
            theirs.process_entities(received)
        keys = [any_key(rng) for _ in range(5)]
        keys += [getattr(entity, "username", None) or entity.to_dict().get("id", 1) for entity in received]
        for key in keys:
            assert found(ours, key) == found(theirs, key), key
        if page % 7 == 0:
            for session in sessions:
                session.save()
    for session in sessions:
        session.close()
    assert dump("ours.session") == dump("theirs.session")


def test_closing_before_it_is_loaded(sessions: tuple[Any, Any]) -> None:
    _, ours = sessions
    for _ in range(20):
        ours.process_entities([types.InputPeerUser(1, 5)])
        ours.close()
        assert found(ours, "user1") == found(ours, 1)
        ours = RustSQLiteSession("ours")


# A file upgraded from version 6 has no dates.
TIES = [
    (1, 10, "annika", 7, "Anna", None),
    (2, 20, "annika", 7, "Anna", None),
    (-3, 30, "annika", None, "Anna", None),
    (4, 40, "bobby", 8, "Bob", 100),
    (5, 50, "bobby", 8, "Bob", None),
    (6, 60, "bobby", 8, "Bob", 99),
    (7, 70, "carla", 9, "Carla", 100),
    (-8, 80, "carla", None, "Carla", 100),
]


def test_ties_in_a_file() -> None:
    for name, session in (("theirs", ReferenceSQLiteSession), ("ours", RustSQLiteSession)):
        session(name).close()
        with closing(sqlite3.connect(f"{name}.session")) as file, file:
            file.executemany("insert into entities values (?,?,?,?,?,?)", TIES)
    theirs, ours = ReferenceSQLiteSession("theirs"), RustSQLiteSession("ours")
    for _ in range(2):
        for key in ("annika", "Anna", "+7", "bobby", "Bob", "+8", "carla", "Carla", "+9", 1, 2, 3, 8):
            assert found(ours, key) == found(theirs, key), key
        for session in (theirs, ours):
            session.close()
        assert dump("ours.session") == dump("theirs.session")


def test_invalid_rows_do_not_stop_loading() -> None:
    """Rows are read a thousand at a time. The access hash of some of these rows is not an integer."""
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file, file:
        hashes = ((id, "x" if id % 700 == 0 else id, f"user{id}") for id in range(1, 3001))
        file.executemany("insert into entities values (?, ?, ?, null, null, 1)", hashes)
    session = RustSQLiteSession("anna")
    until(session._is_loaded)
    assert session.get_input_entity("user2999") == types.InputPeerUser(2999, 2999)
    assert sum(1 for _ in session.entities()) == 2996

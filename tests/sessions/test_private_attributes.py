"""Private attributes that custom storages and scripts read and set as if they were public."""

from __future__ import annotations

from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession, StringSession
from telethon.tl import types

from support import entities
from telethon_session_rust import RustMemorySession, RustStringSession

KEY = AuthKey(bytes(range(256)))
ROWS = {(1, 2, "annika", "7", "Anna"), (-3, 0, None, None, "chat"), (-1000000000005, None, None, None, None)}
PAIRS = [(MemorySession, RustMemorySession), (StringSession, RustStringSession)]


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0].__name__)
def sessions(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    theirs, ours = request.param
    return theirs(), ours()


def test_login_attributes(pair: tuple[Any, Any]) -> None:
    theirs, ours = (base() for base in pair)
    for session in (theirs, ours):
        session._dc_id, session._server_address, session._port = 4, "149.154.167.91", 443
        session._auth_key, session._takeout_id = KEY, 5
        assert (session.dc_id, session.server_address, session.port) == (4, "149.154.167.91", 443)
        assert (session.auth_key, session.takeout_id) == (KEY, 5)
    assert RustStringSession.save(ours) == StringSession.save(theirs) == StringSession.save(ours)
    for session in (theirs, ours):
        session.set_dc(2, "149.154.167.51", 80)
        assert (session._dc_id, session._server_address, session._port) == (2, "149.154.167.51", 80)
        session.auth_key, session.takeout_id = None, None
        assert (session._auth_key, session._takeout_id) == (None, None)


def test_defaults(pair: tuple[Any, Any]) -> None:
    theirs, ours = (base() for base in pair)
    names = [name for name, value in vars(theirs).items() if isinstance(value, (int, str, dict, type(None)))]
    assert {"_dc_id", "_auth_key", "_files", "_update_states"} <= set(names)
    assert {name: getattr(ours, name) for name in names if name != "_conn"} == {
        name: getattr(theirs, name) for name in names if name != "_conn"
    }


def test_entities_is_a_set(sessions: tuple[Any, Any]) -> None:
    for session in sessions:
        assert (session._entities, len(session._entities), bool(session._entities)) == (set(), 0, False)
        session._entities |= ROWS
        assert session._entities == ROWS
        assert set(session._entities) == {*ROWS} == {*session._entities}
        assert session._entities >= ROWS
        assert (1, 2, "annika", "7", "Anna") in session._entities
        assert (1, 2) not in session._entities
        assert session._entities - ROWS == set()
        assert session._entities.union(()) == session._entities.copy() == ROWS
        assert session._entities | {(9, 9, None, None, None)} == ROWS | {(9, 9, None, None, None)}
        assert session.get_input_entity("annika") == types.InputPeerUser(1, 2)
        assert session.get_input_entity(types.PeerChannel(5)) == types.InputPeerChannel(5, None)


def test_rows_are_added_and_removed(sessions: tuple[Any, Any]) -> None:
    for session in sessions:
        session._entities = set(ROWS)
        session._entities.add((6, 7, None, None, "Bob"))
        assert session.get_input_entity("Bob") == types.InputPeerUser(6, 7)
        session._entities.discard((6, 7, None, None, "Bob"))
        session._entities.remove((-3, 0, None, None, "chat"))
        session._entities.update([(8, 9, None, None, None)], [])
        assert sorted(row[0] for row in session._entities) == [-1000000000005, 1, 8]
        for removed in ("Bob", "chat", -3):
            with pytest.raises(ValueError):
                session.get_input_entity(removed)
        session._entities.clear()
        assert session._entities == set()


def test_rows_are_copied_to_another_session(sessions: tuple[Any, Any]) -> None:
    """Telethon's documentation recommends this for a copy of a file in memory."""
    theirs, ours = sessions
    theirs.process_entities(entities.crowd(30))
    ours._entities = theirs._entities
    assert set(ours._entities) == theirs._entities
    theirs._entities = set(ours._entities)
    assert ours.get_input_entity("user1") == theirs.get_input_entity("user1")


def test_files_and_update_states(sessions: tuple[Any, Any]) -> None:
    theirs, ours = sessions
    state = types.updates.State(1, 2, entities.DATE, 3, 0)
    for session in sessions:
        session.cache_file(b"1" * 16, 5, types.InputDocument(6, 7, b""))
        session.cache_file(b"1" * 16, 5, types.InputPhoto(8, 9, b""))
        session.set_update_state(0, state)
        session._update_states[4] = state
        assert session.get_update_state(4) is state
    assert ours._files == theirs._files
    assert ours._update_states == theirs._update_states
    ours._files = {}
    assert ours.get_file(b"1" * 16, 5, types.InputDocument) is None

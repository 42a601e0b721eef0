"""A server that is killed, hangs or loses connections at any position: nothing is lost."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.crypto import AuthKey

from support import entities, servers
from support.contents import KEY, OTHER_KEY, STATE
from support.counters import tally
from support.servers.proxy import Proxy
from telethon_session_rust import SessionError, SessionUnsavedError, open_session


@pytest.fixture(scope="module")
def proxy(server: servers.Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def ids(location: str) -> set[int]:
    """Returns the IDs of all entities that a new session finds on the server."""
    session = open_session(location, timeout=60)
    found = {entity.id for entity in session.entities()}
    session.close()
    return found


def receive(session: Any, first: int, last: int) -> None:
    session.process_entities([entities.user(id, id, username=f"user_{id}") for id in range(first, last + 1)])


def test_a_server_is_killed_and_started_again(server: servers.Server, location: str) -> None:
    session = open_session(location, timeout=60)
    receive(session, 1, 100)
    session.auth_key = KEY
    session.save()
    server.kill()
    receive(session, 101, 200)
    session.auth_key = OTHER_KEY
    assert session.get_input_entity("user_150").user_id == 150
    server.start()
    session.close()
    assert ids(location) == set(range(1, 201))
    again = open_session(location)
    assert again.auth_key.key == OTHER_KEY.key
    again.delete()


@pytest.mark.slow
def test_close_says_what_is_unsaved(server: servers.Server, database: str) -> None:
    with Proxy(server.port) as proxy:
        location = f"{proxy.url(database)}#{servers.new_name()}"
        session = open_session(location)
        receive(session, 1, 3)
        session.set_update_state(0, STATE)
        proxy.refuse()
        with pytest.raises(SessionUnsavedError, match="3 entities, 1 update state"):
            session.close()
        proxy.accept()
        session.close()
        assert ids(location) == {1, 2, 3}


def test_a_login_is_on_the_server_or_save_raises(server: servers.Server, database: str) -> None:
    name = servers.new_name()
    with Proxy(server.port) as proxy:
        session = open_session(f"{proxy.url(database)}#{name}", timeout=3)
        session.set_dc(2, "149.154.167.51", 443)
        proxy.hangs = True
        session.auth_key = KEY

        async def save() -> None:
            session.save()

        with pytest.raises(SessionError) as raised:
            asyncio.run(save())
        assert KEY.key.hex() not in str(raised.value)
        proxy.hangs = False
        session.save()
        stored = open_session(f"{database}#{name}")
        assert stored.auth_key.key == KEY.key
        stored.close(), session.close()


def test_a_deletion_outside_a_loop_waits(server: servers.Server, database: str) -> None:
    name = servers.new_name()
    with Proxy(server.port) as proxy:
        session = open_session(f"{proxy.url(database)}#{name}", timeout=60)
        receive(session, 1, 3)
        session.save()
        proxy.delay = 0.3

        async def miss() -> None:
            found = session.get_input_entity("unknown")
            if asyncio.iscoroutine(found):
                found.close()

        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            asyncio.run(miss())
        assert session.delete()
        assert ids(f"{database}#{name}") == set()


# Each waits for several new connections. `test_cut_connections.py` tries all positions.
@settings(max_examples=settings().max_examples // 4)
@given(cuts=st.lists(st.integers(1, 20_000), min_size=1, max_size=6), count=st.integers(1, 300))
def test_connections_are_cut_at_any_position(database: str, proxy: Proxy, cuts: list[int], count: int) -> None:
    name = servers.new_name()
    session = open_session(f"{proxy.url(database)}#{name}", timeout=60)
    try:
        for round, cut in enumerate(cuts):
            proxy.cut_after(cut)
            receive(session, round * count + 1, round * count + count)
            session.auth_key = AuthKey(bytes([round + 1]) * 256)
            session.save()
    finally:
        proxy.cut_after(None)
    session.close()
    assert ids(f"{database}#{name}") == set(range(1, len(cuts) * count + 1))
    stored = open_session(f"{database}#{name}")
    assert stored.auth_key.key == bytes([len(cuts)]) * 256
    stored.delete(), stored.close()
    tally("connections cut", len(cuts))

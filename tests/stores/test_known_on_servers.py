"""Who is known on a server: two processes share a session, and what one forgets the other forgets too."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from telethon.tl import types

from support import entities, servers
from support.servers.proxy import Proxy
from support.waiting import until
from telethon_session_rust import Entity, SessionUnavailableError, open_session

ANNA = Entity(1, "user", 2, "annie", "79991234567", "Anna", 1_700_000_000)
GROUP = Entity(1, "chat", 0, None, None, "Group", 1_700_000_001)
CHANNEL = Entity(1, "channel", 3, "news", None, "News", 1_700_000_002)
ALL = [ANNA, GROUP, CHANNEL]
DAY = 24 * 60 * 60


def loaded(location: str, **options: Any) -> Any:
    session = open_session(location, **options)
    until(session._is_loaded)
    return session


def test_two_sessions(location: str) -> None:
    one = open_session(location)
    one.add_entities(ALL)
    one.process_entities([types.InputPeerUser(0, 1)])
    one.save()
    other = loaded(location)
    assert other.find_entity("annie") == other.find_entity("me") == ANNA
    assert one.forget("annie") and not one.forget("annie")
    one.save()
    # Asked for the entity, the other one asks the server.
    until(lambda: other.find_entity(ANNA) is None)
    assert other.find_entity("annie") is other.find_entity("me") is None
    until(lambda: sorted(other.entities()) == sorted([GROUP, CHANNEL]))
    assert [other.count_entities(kind) for kind in (None, "user", "chat", "channel")] == [2, 0, 1, 1]
    # Its date alone brings nothing back.
    other.close()
    one.close()
    again = loaded(location)
    assert sorted(again.entities()) == sorted([GROUP, CHANNEL])
    assert again.get_entity_rows_by_id(0) == (0, 1)
    again.close()


def test_a_date_brings_nothing_back(location: str) -> None:
    one = open_session(location)
    one.process_entities([entities.user(1, 2, username="annie")])
    one.save()
    other = loaded(location)
    time.sleep(1.1)
    # Seen again: only the date is dirty, and written up to a minute later.
    other.process_entities([entities.user(1, 2, username="annie")])
    assert one.forget(types.PeerUser(1))
    one.close()
    other.close()
    again = loaded(location)
    assert list(again.entities()) == []
    again.close()


def forget_elsewhere(location: str) -> None:
    session = open_session(location)
    assert session.forget("annie") is True
    session.close()


def test_another_process(location: str) -> None:
    session = open_session(location)
    session.add_entities(ALL)
    session.save()
    until(session._is_loaded)
    process = multiprocessing.get_context("spawn").Process(target=forget_elsewhere, args=[location])
    process.start()
    process.join()
    assert process.exitcode == 0
    # Without being asked, some seconds after it has written something.
    session.process_entities([entities.user(10, 11)])

    def is_unknown() -> bool:
        try:
            session.get_input_entity(types.PeerUser(1))
        except ValueError:
            return True
        return False

    until(is_unknown)
    assert session.find_entity(10).id == 10
    session.close()


def test_many(location: str) -> None:
    now = int(time.time())
    one = open_session(location)
    rows = [Entity(n, "user", n, f"user_{n}", None, "Anna", now - (n % 100) * DAY) for n in range(1, 12_001)]
    one.add_entities(rows)
    one.close()
    one, other = loaded(location), loaded(location)
    # Another process has seen one of them again, which this one does not know.
    old = next(row for row in rows if row.last_seen < now - 60 * DAY)
    other.process_entities([entities.user(old.id, old.id, username=old.username, first_name="Anna")])
    other.save()
    staying = {row.id for row in rows if row.last_seen > now - 50.5 * DAY} | {old.id}
    assert one.forget_older_than(50.5) == len(rows) - len(staying)
    assert one.count_entities() == one.count_entities("user") == len(staying)
    one.close()
    with closing(open_session(location)) as again:
        assert again.count_entities() == again.count_entities("user") == len(staying)
        until(again._is_loaded)
        assert {entity.id for entity in again.entities()} == staying
    until(lambda: other.count_entities() == len(staying))
    assert {entity.id for entity in other.entities()} == staying
    other.close()


@pytest.fixture
def proxy(server: servers.Server) -> Any:
    with Proxy(server.port) as proxy:
        yield proxy


def test_a_server_that_is_far_away(database: str, proxy: Proxy) -> None:
    name = servers.new_name()
    with closing(open_session(f"{database}#{name}")) as session:
        session.add_entities(ALL)

    async def use() -> None:
        session = await asyncio.to_thread(open_session, f"{proxy.url(database)}#{name}", timeout=60)
        proxy.delay = 0.1
        calls: list[tuple[Callable[[], Any], Any]] = [
            (lambda: session.find_entity("annie"), ANNA),
            (lambda: session.find_entity("nobody"), None),
            (session.count_entities, 3),
            (lambda: session.forget("nobody"), False),
            (lambda: session.forget("annie"), True),
            (lambda: session.forget_older_than(1), 2),
        ]
        for call, expected in calls:
            result = call()
            if inspect.isawaitable(result):
                result = await result
            assert result == expected
        assert [entity async for entity in session.entities()] == []
        proxy.delay = 0
        await session.flush()
        session.close()

    asyncio.run(use())


def test_a_server_that_is_away(database: str, proxy: Proxy) -> None:
    name = servers.new_name()
    with closing(open_session(f"{database}#{name}")) as session:
        session.add_entities(ALL)
    session = open_session(f"{proxy.url(database)}#{name}", timeout=1)
    until(session._is_loaded)
    proxy.hangs = True
    # Memory answers.
    assert session.find_entity("annie") == ANNA
    assert session.find_entity("nobody") is None
    assert session.count_entities() == 3
    assert session.forget("annie") is True
    assert session.find_entity("annie") is None
    assert session.forget_older_than(1) == 2
    assert session.count_entities() == 0
    # But a session that was not loaded does not know.
    proxy.hangs = False
    opened = open_session(f"{proxy.url(database)}#{name}", timeout=1)
    proxy.hangs = True
    # On a slow machine it may be loaded by now.
    if not opened._is_loaded():
        with pytest.raises(SessionUnavailableError):
            opened.find_entity("nobody")
    proxy.hangs = False
    proxy.cut()
    opened.close()
    session.close()
    again = loaded(f"{database}#{name}")
    assert list(again.entities()) == []
    again.close()

"""In a running event loop no call waits for a server that is slow, hangs, refuses or dies, except for
`save()` with a changed login.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from telethon.tl import types

from support import entities, servers
from support.contents import KEY
from support.counters import tally
from support.servers.proxy import Proxy
from support.sleep_clock import Canaries, Sleep, measure_sleep
from telethon_session_rust import open_session

# What a call in an event loop may take, in seconds.
LIMIT = 0.02
DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def proxy(server: servers.Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def slow(proxy: Proxy) -> None:
    proxy.delay = 0.05


def hanging(proxy: Proxy) -> None:
    proxy.hangs = True


def refusing(proxy: Proxy) -> None:
    proxy.refuse()


def cut(proxy: Proxy) -> None:
    proxy.cut()


def well(proxy: Proxy) -> None:
    pass


CALLS: list[Callable[[Any], Any]] = [
    lambda session: session.process_entities([entities.user(7, 8, username="new")]),
    lambda session: session.get_input_entity("known"),
    lambda session: session.get_input_entity("unknown"),
    lambda session: session.get_input_entity(12345678),
    lambda session: session.get_input_entity("Un Known"),
    lambda session: session.get_entity_rows_by_username("unknown too"),
    lambda session: session.set_update_state(0, types.updates.State(1, 2, DATE, 4, 5)),
    lambda session: session.get_update_state(0),
    lambda session: session.get_file(b"1" * 16, 3, types.InputPhoto),
    lambda session: session.save(),
    lambda session: list(session.get_update_states()),
    lambda session: setattr(session, "auth_key", KEY),
    lambda session: session.set_dc(2, "149.154.167.51", 443),
    lambda session: session.close(),
    lambda session: session.process_entities([entities.user(9, 8, username="newer")]),
    lambda session: session.get_input_entity("unknown after closing"),
    lambda session: session.delete(),
]


@pytest.mark.parametrize("state", [well, slow, hanging, refusing, cut])
def test_no_call_waits(server: servers.Server, database: str, proxy: Proxy, state: Callable[[Proxy], None]) -> None:
    session = open_session(f"{proxy.url(database)}#{servers.new_name()}", timeout=60)
    session.process_entities([entities.user(5, 6, username="known")])
    session.save()

    sleeps: list[Sleep] = []

    async def use() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for call in CALLS:
                with measure_sleep(sleeps):
                    try:
                        result = call(session)
                    except (ValueError, TypeError):
                        result = None
                if asyncio.iscoroutine(result):
                    result.close()
                await asyncio.sleep(0.01)

    with Canaries() as canaries:
        state(proxy)
        asyncio.run(use())
    waits = [canaries.own_seconds(sleep) for sleep in sleeps]
    assert max(waits) < LIMIT, [f"{wait * 1000:.1f} ms" for wait in waits]
    tally("calls in an event loop", len(waits))
    proxy.hangs = False
    proxy.delay = 0
    proxy.accept()

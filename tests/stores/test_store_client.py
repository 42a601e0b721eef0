"""Sessions on servers in a real `TelegramClient`, connected to the loopback data centres."""

from __future__ import annotations

import asyncio
import time
import warnings
from contextlib import suppress
from typing import Any

import pytest
from telethon import TelegramClient, utils
from telethon.tl import types

from support import entities, servers
from support.clients import CATCH_UP, Inbox, MakeClient, catch_up, meet, sign_in
from support.loopback import DataCentres, World
from support.servers.proxy import Proxy
from support.waiting import TIMEOUT
from telethon_session_rust import open_session, remote

WORLD = World()
AWAITS_LOOKUPS = hasattr(utils, "maybe_async")


def keys(entity: Any) -> list[Any]:
    known = [utils.get_peer_id(entity), getattr(entity, "username", None), getattr(entity, "phone", None)]
    return [key for key in known if key]


async def test_restart(telegram: DataCentres, new_client: MakeClient, location: str) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(open_session(location)), account)
    crowd = WORLD.crowd(400)
    await meet(client, telegram, account, crowd)
    key = client.session.auth_key.key
    await client.session.flush()
    await client.disconnect()

    session = await type(client.session).open(location.partition("#")[0], location.partition("#")[2])
    assert session.auth_key.key == key
    client = new_client(session)
    await client.connect()
    assert (await client.get_me()).id == account.id
    if not AWAITS_LOOKUPS:
        # A lookup waits only briefly, so it may come before everything is in memory.
        await asyncio.to_thread(list, session.entities())
    for entity in (*crowd.users, *crowd.chats):
        for key in keys(entity):
            assert await client.get_input_entity(key) == utils.get_input_peer(entity)


async def test_updates_are_caught_up_after_a_restart(
    telegram: DataCentres, new_client: MakeClient, location: str
) -> None:
    account = telegram.new_bot()
    (channel,) = WORLD.channels(1)
    client = await sign_in(new_client(open_session(location)), account)
    inbox = Inbox(client)
    await telegram.push_crowd(account, WORLD.users(2), [channel], messages=1)
    await inbox.wait_for(2)
    await client.disconnect()
    # In an event loop the session is closed in the background.
    await client.session.flush()

    users = WORLD.users(3, first=50)
    await telegram.push_crowd(account, users, [channel], messages=3)
    client = new_client(open_session(location), **CATCH_UP)
    inbox = Inbox(client)
    await catch_up(client)
    await inbox.wait_for(4)
    for user in users:
        assert await client.get_input_entity(user.id) == utils.get_input_peer(user)


@pytest.mark.skipif(not AWAITS_LOOKUPS, reason="this release does not await lookups")
async def test_a_lookup_on_a_distant_server_is_awaited(
    telegram: DataCentres, new_client: MakeClient, server: servers.Server, database: str
) -> None:
    """What another process has stored is found, without blocking and without a warning."""
    name = servers.new_name()
    account = telegram.new_user()
    with Proxy(server.port) as proxy, warnings.catch_warnings():
        session = open_session(f"{proxy.url(database)}#{name}", timeout=60)
        client = await sign_in(new_client(session), account)
        other = open_session(f"{database}#{name}")
        crowd = WORLD.crowd(50)
        other.process_entities(crowd.users)
        await other.flush()
        proxy.delay = 0.05
        warnings.simplefilter("error")
        user = next(user for user in crowd.users if user.username)
        assert await client.get_input_entity(user.username) == utils.get_input_peer(user)
        assert isinstance(client, TelegramClient)
        proxy.delay = 0
        await client.disconnect()


async def test_a_true_miss(
    telegram: DataCentres, new_client: MakeClient, server: servers.Server, database: str
) -> None:
    """The server is asked, and then Telegram, without a warning: also where one is an error."""
    account = telegram.new_user()
    with Proxy(server.port) as proxy, warnings.catch_warnings():
        warnings.simplefilter("error")
        session = open_session(f"{proxy.url(database)}#{servers.new_name()}", timeout=60)
        client = await sign_in(new_client(session), account)
        proxy.delay = 0.05
        for key in (12345678, types.PeerChannel(87654321)):
            with pytest.raises(ValueError, match="Could not find the input entity"):
                await client.get_input_entity(key)
        proxy.delay = 0
        await client.disconnect()


async def test_releases_that_do_not_await_lookups(
    server: servers.Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told that the entity is unknown, until the answer has arrived."""
    monkeypatch.setattr(remote, "_AWAITS_LOOKUPS", False)
    name = servers.new_name()
    with Proxy(server.port) as proxy:
        session = open_session(f"{proxy.url(database)}#{name}", timeout=60)
        other = open_session(f"{database}#{name}")
        other.process_entities([entities.user(5, 6, username="somebody")])
        await other.flush()
        proxy.delay = 0.1
        with pytest.raises(ValueError):
            session.get_input_entity("somebody")

        async def is_found() -> bool:
            await asyncio.sleep(0.01)
            with suppress(ValueError):
                return session.get_input_entity("somebody") == types.InputPeerUser(5, 6)
            return False

        deadline = time.monotonic() + TIMEOUT
        while not await is_found():
            assert time.monotonic() < deadline
        proxy.delay = 0
        session.close(), other.close()

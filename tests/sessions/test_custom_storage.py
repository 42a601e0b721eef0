"""The custom storage in `examples/storage.py`, in a real client."""

from __future__ import annotations

import runpy
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon import utils
from telethon.sessions import StringSession
from telethon.tl import types

from support import entities
from support.clients import MakeClient, meet, sign_in
from support.contents import KEY
from support.examples import EXAMPLES, ask, example, signed_in
from support.loopback import DataCentres, World

DatabaseSession = runpy.run_path(str(EXAMPLES / "storage.py"))["DatabaseSession"]
WORLD = World()


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("bots.db")) as database:
        yield database


async def test_a_client_reconnects(telegram: DataCentres, new_client: MakeClient, database: sqlite3.Connection) -> None:
    account, other = telegram.new_user(), telegram.new_bot()
    client = await sign_in(new_client(DatabaseSession(database, "anna")), account)
    await (await sign_in(new_client(DatabaseSession(database, "bert")), other)).disconnect()
    crowd = WORLD.crowd(300)
    await meet(client, telegram, account, crowd)
    string = StringSession.save(client.session)
    await client.disconnect()

    with closing(sqlite3.connect("bots.db")) as reopened:
        session = DatabaseSession(reopened, "anna")
        assert StringSession.save(session) == string
        client = new_client(session)
        await client.connect()
        assert (await client.get_me()).id == account.id
        for entity in crowd.users + crowd.chats:
            keys = [utils.get_peer_id(entity), getattr(entity, "username", None), getattr(entity, "phone", None)]
            for key in filter(None, keys):
                assert session.get_input_entity(key) == utils.get_input_peer(entity)
        with pytest.raises(ValueError):
            DatabaseSession(reopened, "bert").get_input_entity(utils.get_peer_id(crowd.users[0]))
        assert await client.log_out()
    remaining = database.execute("select account from logins union select account from entities").fetchall()
    assert remaining == [("bert",)]


ANNIKA = entities.user(5, 6, username="annika")
PEERS = [types.InputPeerUser(5, 6), types.InputPeerUser(0, 5)]


@pytest.mark.parametrize("pages", [[[ANNIKA], PEERS], [[ANNIKA, *PEERS]]])
def test_an_input_peer_does_not_erase_names(database: sqlite3.Connection, pages: list[list[Any]]) -> None:
    session = DatabaseSession(database, "anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    for page in pages:
        session.process_entities(page)
        session.save()
    reopened = DatabaseSession(database, "anna")
    assert (reopened.dc_id, reopened.auth_key) == (2, KEY)
    assert reopened.get_input_entity("annika") == PEERS[0]
    assert reopened.get_input_entity(0) == PEERS[1]


@pytest.mark.parametrize("saves_between", [False, True])
def test_a_username_belongs_to_the_entity_seen_last(database: sqlite3.Connection, saves_between: bool) -> None:
    session = DatabaseSession(database, "anna")
    for id in (5, 9, 5):
        session.process_entities([entities.user(id, id, username="annika")])
        if saves_between:
            session.save()
    session.save()
    reopened = DatabaseSession(database, "anna")
    assert reopened.get_input_entity("annika") == types.InputPeerUser(5, 5)
    assert reopened.get_input_entity(9) == types.InputPeerUser(9, 9)


async def test_the_program(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    first, second = telegram.new_bot(username="first"), telegram.new_bot(username="second")
    for bot, count in ((first, 1), (second, 2), (first, 2)):
        async with example("storage.py", telegram, BOT_TOKEN=bot.token) as program:
            await program.says(f"@{bot.user.username} is connected")
            await ask(client, bot.user.username, "hi", f"Bots in this database: {count}")
            assert await program.end(signal.SIGTERM) == (0, "")
    assert signed_in(telegram, first) == 1
    assert Path("bots.db").stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect("bots.db")) as database:
        known = database.execute("select account from entities where id = ? order by account", [account.id]).fetchall()
    assert known == [(str(bot.id),) for bot in (first, second)]

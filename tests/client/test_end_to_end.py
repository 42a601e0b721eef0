"""Our sessions in a real `TelegramClient`, connected to the loopback data centres."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient, utils
from telethon.sessions import MemorySession, SQLiteSession, StringSession

from support.clients import CATCH_UP, Inbox, MakeClient, catch_up, meet, sign_in
from support.files import on_disk
from support.loopback import Account, DataCentres, World
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

WORLD = World()


async def reconnect(client: TelegramClient, account: Account) -> TelegramClient:
    """Connects with the login of the session alone."""
    await client.connect()
    assert (await client.get_me()).id == account.id
    return client


async def assert_known(client: TelegramClient, entities: list[Any]) -> None:
    """Checks that the session knows all entities, without a request."""
    for entity in entities:
        expected = utils.get_input_peer(entity)
        keys = [utils.get_peer_id(entity), getattr(entity, "username", None), getattr(entity, "phone", None)]
        for key in filter(None, keys):
            assert client.session.get_input_entity(key) == expected
    assert await client.get_input_entity(utils.get_peer_id(entities[0])) == utils.get_input_peer(entities[0])


@pytest.mark.parametrize("session_class", [RustSQLiteSession, RustMemorySession, RustStringSession])
async def test_entities_received_after_sign_in_are_found(
    telegram: DataCentres, new_client: MakeClient, session_class: type, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    account = telegram.new_user()
    session = session_class("anon") if session_class is RustSQLiteSession else session_class()
    client = await sign_in(new_client(session), account)
    crowd = WORLD.crowd(2_000)
    await meet(client, telegram, account, crowd)
    await assert_known(client, crowd.users + crowd.chats)

    channel, members = WORLD.channel(5_000), WORLD.users(500, first=5_000)
    telegram.gather(channel, members)
    await client.get_participants(utils.get_input_peer(channel))
    await assert_known(client, members)


async def test_restart(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    path = tmp_path / "anon"
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(path)), account)
    crowd = WORLD.crowd(400)
    await meet(client, telegram, account, crowd)
    key = client.session.auth_key
    await client.disconnect()

    for session_class in (RustSQLiteSession, SQLiteSession, RustSQLiteSession):
        client = await reconnect(new_client(session_class(str(path))), account)
        assert client.session.auth_key == key
        await assert_known(client, crowd.users + crowd.chats)
        await client.disconnect()


async def test_reconnecting_a_client_after_disconnect(
    telegram: DataCentres, new_client: MakeClient, tmp_path: Path
) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    await client.disconnect()
    await reconnect(client, account)
    crowd = WORLD.crowd(100)
    await meet(client, telegram, account, crowd)
    await client.disconnect()
    assert len(on_disk(path=tmp_path / "anon.session")) >= 100


@pytest.mark.parametrize("is_bot", [False, True])
async def test_migration_to_another_data_centre(
    telegram: DataCentres, new_client: MakeClient, tmp_path: Path, is_bot: bool
) -> None:
    account = telegram.new_bot(dc_id=4) if is_bot else telegram.new_user(dc_id=4)
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    await client.disconnect()

    session = RustSQLiteSession(tmp_path / "anon")
    assert (session.dc_id, session.port) == (4, telegram.dcs[4].port)
    assert {key.account for key in telegram.dcs[4].keys.values()} == {account}
    await reconnect(new_client(session), account)


async def test_log_out_deletes_the_file(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    await meet(client, telegram, account, WORLD.crowd(100))
    assert await client.log_out()
    await asyncio.sleep(1.5)  # long enough for pending writes
    assert list(tmp_path.iterdir()) == []


async def test_catch_up_after_a_restart(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    account = telegram.new_bot()
    known_before, first_seen_offline = WORLD.channels(2)
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "bot")), account)
    inbox = Inbox(client)
    await telegram.push_crowd(account, WORLD.users(2), [known_before], messages=1)
    await inbox.wait_for(2)
    await client.disconnect()

    users = WORLD.users(3, first=50)
    await telegram.push_crowd(account, users, [known_before], messages=3)
    await telegram.push_crowd(account, [], [first_seen_offline, *WORLD.chats(2)])

    client = new_client(RustSQLiteSession(tmp_path / "bot"), **CATCH_UP)
    inbox = Inbox(client)
    await catch_up(client)
    await inbox.wait_for(5)
    await asyncio.sleep(0.2)  # long enough for duplicates
    assert sorted(inbox.texts) == ["hello"] * 3 + ["news"] * 2
    await assert_known(client, [*users, known_before, first_seen_offline])


@pytest.mark.parametrize("target_class", [RustStringSession, StringSession])
@pytest.mark.parametrize("source_class", [RustSQLiteSession, RustMemorySession, RustStringSession, MemorySession])
async def test_string_works_in_a_new_client(
    telegram: DataCentres, new_client: MakeClient, tmp_path: Path, source_class: type, target_class: type
) -> None:
    account = telegram.new_user()
    session = source_class(tmp_path / "anon") if source_class is RustSQLiteSession else source_class()
    client = await sign_in(new_client(session), account)
    string = RustStringSession.save(client.session)
    assert string == StringSession.save(client.session)
    if source_class is RustStringSession:
        assert client.session.save() == string
    await client.disconnect()
    await reconnect(new_client(target_class(string)), account)


async def test_save_in_a_handler(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    crowd = WORLD.crowd(300)
    await meet(client, telegram, account, crowd)
    assert client.session.save() is None
    await client.session.flush()
    stored = {row[0] for row in on_disk(path=tmp_path / "anon.session")}
    assert stored >= {utils.get_peer_id(entity) for entity in crowd.users + crowd.chats}


async def test_clone_connects_to_another_data_centre_without_touching_the_file(
    telegram: DataCentres, new_client: MakeClient, tmp_path: Path
) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    client.session.save_entities = False
    clone = client.session.clone()
    assert (clone.filename, clone.save_entities, clone.auth_key) == (":memory:", False, None)
    other = telegram.dcs[4]
    clone.set_dc(4, "127.0.0.1", other.port)
    clone_client = new_client(clone)
    await clone_client.connect()
    assert not await clone_client.is_user_authorized()
    assert client.session.dc_id == telegram.home.dc_id
    assert client.session.auth_key != clone.auth_key


async def test_takeout_id_is_saved(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(RustSQLiteSession(tmp_path / "anon")), account)
    async with client.takeout(finalize=False) as takeout:
        assert (await takeout.get_me()).id == account.id
    takeout_id = client.session.takeout_id
    await client.disconnect()
    session = RustSQLiteSession(tmp_path / "anon")
    assert session.takeout_id == takeout_id is not None
    client = await reconnect(new_client(session), account)
    await client.end_takeout(success=True)
    assert client.session.takeout_id is None

"""The loopback data centres, tested with real Telethon clients and Telethon's own sessions."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import telethon
from telethon import TelegramClient, errors, events, functions, types, utils
from telethon.crypto import Factorization
from telethon.network import ConnectionTcpAbridged, ConnectionTcpFull, ConnectionTcpIntermediate
from telethon.sessions import MemorySession, SQLiteSession

from support.clients import CATCH_UP, Inbox, MakeClient, catch_up, sign_in, until
from support.loopback import DataCentres, World, text_message
from support.loopback.process import CommandError, LoopbackProcess

VERSION = tuple(int(part) for part in telethon.__version__.split(".")[:2])
WORLD = World()
KEY_NOT_FOUND = getattr(errors, "AuthKeyNotFound", errors.InvalidBufferError)


# Signing in


async def test_user_signs_in_by_code(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user(first_name="Ada")
    client = await sign_in(new_client(), account)
    me = await client.get_me()
    assert (me.id, me.first_name, me.phone, me.is_self) == (account.id, "Ada", account.phone, True)
    assert await client.is_user_authorized()


async def test_bot_signs_in_by_token(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_bot()
    client = await sign_in(new_client(), account)
    assert await client.is_bot()
    assert (await client.get_me()).id == account.id


async def test_wrong_code_number_and_token_are_refused(telegram: DataCentres, new_client: MakeClient) -> None:
    client = new_client()
    await client.connect()
    account = telegram.new_user()
    await client.send_code_request(account.phone)
    with pytest.raises(errors.PhoneCodeInvalidError):
        await client.sign_in(account.phone, "00000")
    await client.send_code_request("+99966200000")
    with pytest.raises(errors.PhoneNumberUnoccupiedError):
        await client.sign_in("+99966200000", "22222")
    with pytest.raises(errors.AccessTokenInvalidError):
        await client.sign_in(bot_token="1:unknown")
    assert await client.get_me() is None


@pytest.mark.parametrize("connection", [ConnectionTcpFull, ConnectionTcpAbridged, ConnectionTcpIntermediate])
async def test_every_transport(telegram: DataCentres, new_client: MakeClient, connection: type) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(connection=connection), account)
    inbox = Inbox(client)
    # Large enough for the long length prefix of each transport.
    await telegram.push_crowd(account, *WORLD.crowd(500), messages=1)
    await inbox.wait_for(2)


async def test_same_key_is_still_signed_in_after_a_restart(
    telegram: DataCentres, new_client: MakeClient, tmp_path: Path
) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(SQLiteSession(str(tmp_path / "user"))), account)
    key = client.session.auth_key.key
    await client.disconnect()

    client = new_client(SQLiteSession(str(tmp_path / "user")))
    await client.connect()
    assert client.session.auth_key.key == key
    assert (await client.get_me()).id == account.id


async def test_unknown_key_is_refused(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    client = await sign_in(new_client(SQLiteSession(str(tmp_path / "user"))), telegram.new_user())
    await client.disconnect()
    telegram.home.keys.clear()

    client = new_client(SQLiteSession(str(tmp_path / "user")), connection_retries=1)
    with pytest.raises(KEY_NOT_FOUND):
        await client.connect()


async def test_log_out_deletes_the_key(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    client = await sign_in(new_client(SQLiteSession(str(tmp_path / "user"))), telegram.new_user())
    (key,) = telegram.home.keys.values()
    assert await client.log_out()
    assert key.account is None
    assert not (tmp_path / "user.session").exists()


async def test_wrong_factors_make_the_client_retry(new_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    factorize = Factorization.factorize
    factors = iter([lambda pq: (1, pq)])
    monkeypatch.setattr(Factorization, "factorize", lambda pq: next(factors, factorize)(pq))
    client = new_client(retry_delay=0)
    await client.connect()
    assert client.session.auth_key


# Data centres


async def test_user_at_another_data_centre(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user(dc_id=4)
    client = await sign_in(new_client(), account)
    assert (client.session.dc_id, client.session.port) == (4, telegram.dcs[4].port)
    assert (await client.get_me()).id == account.id
    inbox = Inbox(client)
    await telegram.push_crowd(account, *WORLD.crowd(20), messages=1)
    await inbox.wait_for(2)


async def test_bot_at_another_data_centre(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_bot(dc_id=4))
    assert client.session.dc_id == 4
    assert await client.is_bot()


async def test_authorization_is_exported_to_another_data_centre(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    sender = await client._borrow_exported_sender(4)
    (me,) = await sender.send(functions.users.GetUsersRequest([types.InputUserSelf()]))
    await client._return_exported_sender(sender)
    assert me.id == account.id
    assert {key.account for key in telegram.dcs[4].keys.values()} == {account}
    assert len(telegram.listeners(account)) == 1


# Updates


async def test_pushed_crowd_reaches_handlers_and_session(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_bot()
    client = await sign_in(new_client(), account)
    inbox = Inbox(client)
    crowd = WORLD.crowd(2_000)
    packet = await telegram.push_crowd(account, *crowd)
    await inbox.wait_for(6)
    await telegram.push_crowd(account, *WORLD.crowd(200, first=2_000))
    await inbox.wait_for(12)

    assert packet.pts == 1 + 3
    assert sorted(inbox.texts) == ["hello"] * 6 + ["news"] * 6
    for entity in (*crowd.users[-3:], *crowd.chats[-8:]):
        assert await client.get_input_entity(utils.get_peer_id(entity)) == utils.get_input_peer(entity)


async def test_updates_reach_every_device_of_an_account(telegram: DataCentres, new_client: MakeClient) -> None:
    account, other = telegram.new_user(), telegram.new_user()
    clients = [await sign_in(new_client(), each) for each in (account, account, other)]
    inboxes = [Inbox(client) for client in clients]
    await telegram.push_crowd(account, *WORLD.crowd(100), messages=2)
    await asyncio.gather(*(inbox.wait_for(4) for inbox in inboxes[:2]))
    assert inboxes[2].messages == []


async def test_missed_updates_are_caught_up(telegram: DataCentres, new_client: MakeClient, tmp_path: Path) -> None:
    account = telegram.new_bot()
    known_before, first_seen_offline = WORLD.channels(2)
    client = await sign_in(new_client(SQLiteSession(str(tmp_path / "bot"))), account)
    inbox = Inbox(client)
    await telegram.push_crowd(account, WORLD.users(2), [known_before], messages=1)
    await inbox.wait_for(2)
    await client.disconnect()

    users = WORLD.users(3, first=50)
    await telegram.push_crowd(account, users, [known_before], messages=3)
    await telegram.push_crowd(account, [], [first_seen_offline, *WORLD.chats(2)])

    client = new_client(SQLiteSession(str(tmp_path / "bot")), **CATCH_UP)
    inbox = Inbox(client)
    await catch_up(client)
    await inbox.wait_for(5)
    await asyncio.sleep(0.2)  # long enough for duplicates
    assert sorted(inbox.texts) == ["hello"] * 3 + ["news"] * 2
    for entity in (*users, known_before, first_seen_offline):
        assert await client.get_input_entity(utils.get_peer_id(entity)) == utils.get_input_peer(entity)


@pytest.mark.skipif(VERSION < (1, 28), reason="this release does not detect gaps")
async def test_lost_updates_are_fetched_when_the_gap_is_detected(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    inbox = Inbox(client)
    user, channel = telegram.directory.add_all([WORLD.user(0), WORLD.channel(0)])

    def new_messages(text: str) -> list[Any]:
        in_private = types.UpdateNewMessage(text_message(user, text), 0, 1)
        return [in_private, types.UpdateNewChannelMessage(text_message(channel, text, user), 0, 1)]

    await telegram.push(account, *new_messages("first"), users=[user], chats=[channel])
    account.mailbox.put(new_messages("lost"), [user], [channel])
    await telegram.push(account, *new_messages("later"), users=[user], chats=[channel])
    await inbox.wait_for(6)
    assert sorted(inbox.texts) == ["first", "first", "later", "later", "lost", "lost"]
    assert {message.sender_id for message in inbox.messages} == {user.id}


async def test_client_reconnects_after_the_connection_is_lost(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(retry_delay=0), account)
    inbox = Inbox(client)
    telegram.hang_up()
    assert telegram.listeners(account) == []
    await until(lambda: telegram.listeners(account) != [])
    await telegram.push_crowd(account, *WORLD.crowd(20), messages=1)
    await inbox.wait_for(2)


async def test_updates_with_and_without_pts_are_pushed(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    raw: list[Any] = []

    async def collect(update: Any) -> None:
        raw.append(update)

    client.add_event_handler(collect, events.Raw)
    user = telegram.directory.add(WORLD.user(0))
    status = types.UpdateUserStatus(user.id, types.UserStatusRecently())
    message = types.UpdateNewMessage(text_message(user, "one"), 0, 1)
    read = types.UpdateReadMessagesContents([1], 0, 2)
    await telegram.push(account, status, message, read, users=[user])
    await until(lambda: len(raw) == 3)
    assert {type(update) for update in raw} == {type(status), type(message), type(read)}
    assert (await client(functions.updates.GetStateRequest())).pts == 1 + 1 + 2


# Chats


async def test_participants_of_a_large_channel(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    channel, members = WORLD.channel(0), WORLD.users(1_000)
    telegram.gather(channel, members)
    found = await client.get_participants(utils.get_input_peer(channel))
    assert found.total == 1_000
    assert [user.id for user in found] == [user.id for user in members]

    full = await client.get_participants(utils.get_input_peer(channel), limit=0)
    assert full.total == 1_000
    name = members[7].first_name
    found = await client.get_participants(utils.get_input_peer(channel), search=name)
    assert members[7].id in {user.id for user in found}
    assert len(found) < 200


async def test_participants_of_a_group(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    members = WORLD.users(5)
    telegram.gather(WORLD.chat(0), [*members, account.known])
    found = await client.get_participants(types.InputPeerChat(WORLD.chat(0).id))
    assert [user.id for user in found] == [*(user.id for user in members), account.id]
    assert found[-1].is_self


async def test_entities_are_looked_up(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    entities = [WORLD.user(0), WORLD.channel(0), WORLD.chat(0)]
    telegram.directory.add_all(entities)
    for entity in entities:
        result = await client.get_entity(utils.get_input_peer(entity))
        assert utils.get_display_name(result) == utils.get_display_name(entity)
    full = await client(functions.users.GetFullUserRequest(utils.get_input_user(entities[0])))
    assert getattr(full, "full_user", full).about == "Made up."


async def test_wrong_access_hash_is_refused(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    user, channel = WORLD.user(0), WORLD.channel(0)
    telegram.directory.add_all([user, channel])
    (found,) = await client(functions.users.GetUsersRequest([types.InputUser(user.id, 1)]))
    assert isinstance(found, types.UserEmpty)
    with pytest.raises(errors.ChannelInvalidError):
        await client.get_entity(types.InputPeerChannel(channel.id, 1))


async def test_username_is_resolved(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    user = next(user for user in WORLD.users(20) if user.username)
    telegram.directory.add(user)
    assert (await client.get_entity(f"@{user.username.upper()}")).id == user.id
    with pytest.raises(ValueError, match="unknown_username"):
        await client.get_input_entity("unknown_username")


async def test_contacts_are_found_by_phone(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    users = [user for user in WORLD.users(50) if user.phone]
    telegram.add_contacts(account, users)
    found = await client(functions.contacts.GetContactsRequest(hash=0))
    assert [user.id for user in found.users] == [user.id for user in users]
    assert (await client.get_entity(f"+{users[0].phone}")).id == users[0].id


async def test_dialogs_are_paginated(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    await telegram.push_crowd(account, *WORLD.crowd(500), messages=120)
    await telegram.push_crowd(account, WORLD.users(1, first=1_000), [], messages=1)
    dialogs = await client.get_dialogs()
    assert dialogs.total == len(dialogs) == 120 + 75 + 1
    assert dialogs[0].id == WORLD.user(1_000).id
    assert len({dialog.id for dialog in dialogs}) == len(dialogs)


# Requests


async def test_two_clients_write_to_each_other(telegram: DataCentres, new_client: MakeClient) -> None:
    ada, ben = telegram.new_user(username="ada_lovelace"), telegram.new_user(username="benjamin")
    clients = [await sign_in(new_client(), account) for account in (ada, ben)]
    inboxes = [Inbox(client) for client in clients]
    sent = await clients[0].send_message("benjamin", "hello Ben")
    assert (sent.message, sent.out, sent.id) == ("hello Ben", True, 1)
    await inboxes[1].wait_for(1)
    assert inboxes[1].messages[0].sender_id == ada.id

    # Long enough for the client to compress it.
    await inboxes[1].messages[0].respond("hello Ada, " * 200)
    await inboxes[0].wait_for(1)
    assert inboxes[0].texts == [("hello Ada, " * 200).strip()]


async def test_message_to_a_channel_reaches_its_members(telegram: DataCentres, new_client: MakeClient) -> None:
    accounts = [telegram.new_user() for _ in range(3)]
    channel = next(WORLD.channel(n) for n in count() if WORLD.channel(n).megagroup)
    telegram.gather(channel, [account.known for account in accounts[:2]])
    clients = [await sign_in(new_client(), account) for account in accounts]
    inboxes = [Inbox(client) for client in clients]
    await clients[0].send_message(utils.get_input_peer(channel), "all of you")
    await inboxes[1].wait_for(1)
    assert inboxes[1].messages[0].sender_id == accounts[0].id
    assert inboxes[2].messages == []


async def test_many_requests_at_once(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    request = functions.users.GetUsersRequest([types.InputUserSelf()])
    # Concurrent requests share containers; an ordered list also wraps them in invokeAfterMsg.
    results = await asyncio.gather(*(client(request) for _ in range(150)))
    results += await client([request] * 5, ordered=True)
    assert [user.id for (user,) in results] == [account.id] * 155


async def test_requests_that_need_an_account_are_refused_without_one(new_client: MakeClient) -> None:
    client = new_client()
    await client.connect()
    with pytest.raises(errors.AuthKeyUnregisteredError):
        await client(functions.updates.GetStateRequest())
    assert not await client.is_user_authorized()


async def test_request_without_a_method_is_refused(
    telegram: DataCentres, new_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    with pytest.raises(errors.RPCError, match="METHOD_NOT_BUILT"):
        await client(functions.help.GetSupportRequest())
    assert "no method is implemented for GetSupportRequest" in caplog.text


async def test_pings_are_answered(telegram: DataCentres, new_client: MakeClient) -> None:
    client = await sign_in(new_client(), telegram.new_user())
    assert (await client(functions.PingRequest(7))).ping_id == 7
    assert (await client(functions.PingDelayDisconnectRequest(8, 60))).ping_id == 8
    if VERSION >= (1, 36):  # older releases wait for an rpc_result, which Telegram does not send
        assert (await client(functions.DestroySessionRequest(1))).session_id == 1


async def test_takeout(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    client = await sign_in(new_client(), account)
    async with client.takeout() as takeout:
        assert client.session.takeout_id
        assert (await takeout.get_me()).id == account.id
    assert client.session.takeout_id is None


async def test_client_without_updates(telegram: DataCentres, new_client: MakeClient) -> None:
    account = telegram.new_user()
    if VERSION < (1, 40):
        pytest.skip("this release does not wrap its requests in invokeWithoutUpdates")
    await sign_in(new_client(receive_updates=False), account)
    assert telegram.listeners(account) == []


# Without a network


async def test_separate_process() -> None:
    async with LoopbackProcess(seed=5) as telegram:
        bot = await telegram.new_bot(dc_id=4)
        client = TelegramClient(telegram.at_home(MemorySession()), 1, "hash")
        await client.start(bot_token=bot.token)
        inbox = Inbox(client)
        assert await telegram.push_crowd(bot, 1_000, messages=2) == 1
        await inbox.wait_for(4)
        await telegram.gather(channel=0, count=300)
        assert len(await client.get_participants(utils.get_input_peer(World(5).channel(0)))) == 300
        with pytest.raises(CommandError):
            await telegram.send("dance")
        await client.disconnect()


def test_world_is_reproducible_from_its_seed() -> None:
    mixed = list(World(3).entities(40, first=1_000))
    assert [bytes(entity) for entity in mixed] == [bytes(entity) for entity in World(3).entities(40, first=1_000)]
    assert bytes(World(3).user(7)) != bytes(World(4).user(7))
    assert World(3).users(20, first=5)[2].id == World(3).user(7).id


def test_world_resembles_what_a_busy_bot_receives() -> None:
    users, chats = WORLD.crowd(20_000)
    channels = [chat for chat in chats if isinstance(chat, types.Channel)]
    assert (len(users), len(channels), len(chats) - len(channels)) == (16_000, 3_000, 1_000)

    def share(matching: list[Any], of: list[Any]) -> float:
        return round(len(matching) / len(of), 1)

    everything = [*users, *chats]
    named = [entity.username for entity in (*users, *channels) if entity.username]
    cyrillic = [entity for entity in everything if not utils.get_display_name(entity)[0].isascii()]
    assert share(named, [*users, *channels]) == 0.6
    assert share([user for user in users if user.phone], users) == 0.2
    assert share(cyrillic, everything) == 0.3
    assert len({entity.id for entity in everything}) == 20_000
    assert len({name.lower() for name in named}) == len(named)
    assert max(user.id for user in users) < 2**40

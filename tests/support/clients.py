"""Fixtures and helpers for tests with real clients and the loopback data centres."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from telethon import TelegramClient, events, functions, types, utils
from telethon.sessions import MemorySession

from support.loopback import Account, Crowd, DataCentres
from support.waiting import TIMEOUT

# Since about 1.26, a client has an option to catch up when it connects. Before, the caller calls
# `catch_up`.
CATCHES_UP_BY_ITSELF = "catch_up" in inspect.signature(TelegramClient.__init__).parameters
CATCH_UP = {"catch_up": True} if CATCHES_UP_BY_ITSELF else {}

# From about 1.28 to 1.38, a client did not pass the entities of updates to its session, but only
# those of responses.
HANDLES_UPDATES = next(
    getattr(TelegramClient, name) for name in ("_preprocess_updates", "_handle_update") if hasattr(TelegramClient, name)
)
STORES_ENTITIES_OF_UPDATES = "process_entities" in inspect.getsource(HANDLES_UPDATES)

MakeClient = Callable[..., TelegramClient]


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[DataCentres]:
    async with DataCentres() as telegram:
        yield telegram


@pytest_asyncio.fixture
async def new_client(telegram: DataCentres) -> AsyncIterator[MakeClient]:
    """Creates clients that connect to the home data centre first and are disconnected when the test
    ends.
    """
    clients: list[TelegramClient] = []

    def make(session: Any = None, **options: Any) -> TelegramClient:
        session = MemorySession() if session is None else session
        clients.append(TelegramClient(telegram.at_home(session), 1, "hash", **options))
        return clients[-1]

    yield make
    for client in clients:
        if client.is_connected():
            await client.disconnect()


async def sign_in(client: TelegramClient, account: Account) -> TelegramClient:
    if account.is_bot:
        return await client.start(bot_token=account.token)
    return await client.start(account.phone, code_callback=lambda: account.code)


async def catch_up(client: TelegramClient) -> None:
    """Connects a client that was created with the options `CATCH_UP`, and catches up."""
    await client.connect()
    if not CATCHES_UP_BY_ITSELF:
        await client.catch_up()


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + TIMEOUT
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "timed out"
        await asyncio.sleep(0.01)


class Inbox:
    """Collects the messages that a client's handlers receive."""

    def __init__(self, client: TelegramClient) -> None:
        self.messages: list[Any] = []
        client.add_event_handler(self._on_message, events.NewMessage)

    async def _on_message(self, event: Any) -> None:
        self.messages.append(event.message)

    @property
    def texts(self) -> list[str]:
        return [message.message for message in self.messages]

    async def wait_for(self, number: int) -> None:
        await until(lambda: len(self.messages) >= number)


async def meet(client: TelegramClient, telegram: DataCentres, account: Account, crowd: Crowd) -> None:
    """Sends users and chats to the client's session by an update, and also by requests where
    updates are not enough.
    """
    inbox = Inbox(client)
    await telegram.push_crowd(account, *crowd)
    await inbox.wait_for(6)
    if not STORES_ENTITIES_OF_UPDATES:
        channels = [chat for chat in crowd.chats if isinstance(chat, types.Channel)]
        groups = [chat.id for chat in crowd.chats if isinstance(chat, types.Chat)]
        await client(functions.users.GetUsersRequest([utils.get_input_user(user) for user in crowd.users]))
        await client(functions.channels.GetChannelsRequest([utils.get_input_channel(channel) for channel in channels]))
        await client(functions.messages.GetChatsRequest(groups))

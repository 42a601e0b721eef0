"""Real clients against the loopback data centres: fixtures and small helpers for the tests that use them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from telethon import TelegramClient, events, functions, types, utils
from telethon.sessions import MemorySession

from support.loopback import Account, Crowd, DataCentres
from support.waiting import PATIENCE

# Since 1.26 or so a client catches up by itself if asked to; before, one calls `catch_up`.
CATCHES_UP_ALONE = "catch_up" in inspect.signature(TelegramClient.__init__).parameters
CATCH_UP = {"catch_up": True} if CATCHES_UP_ALONE else {}

# From 1.28 or so to 1.38 a client kept whom it met in updates to itself, and gave its session only what requests
# returned.
HANDLES_UPDATES = next(
    getattr(TelegramClient, name) for name in ("_preprocess_updates", "_handle_update") if hasattr(TelegramClient, name)
)
STORES_WHOM_UPDATES_BRING = "process_entities" in inspect.getsource(HANDLES_UPDATES)

MakeClient = Callable[..., TelegramClient]


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[DataCentres]:
    async with DataCentres() as telegram:
        yield telegram


@pytest_asyncio.fixture
async def new_client(telegram: DataCentres) -> AsyncIterator[MakeClient]:
    """Make clients that begin at home and are disconnected when the test ends."""
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
    """Connect a client made with the options CATCH_UP."""
    await client.connect()
    if not CATCHES_UP_ALONE:
        await client.catch_up()


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "nothing came"
        await asyncio.sleep(0.01)


class Inbox:
    """Collects what a client's handlers are given."""

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
    """Have an update bring users and chats to the client's session; where it does not get that far, requests."""
    inbox = Inbox(client)
    await telegram.push_crowd(account, *crowd)
    await inbox.wait_for(6)
    if not STORES_WHOM_UPDATES_BRING:
        channels = [chat for chat in crowd.chats if isinstance(chat, types.Channel)]
        groups = [chat.id for chat in crowd.chats if isinstance(chat, types.Chat)]
        await client(functions.users.GetUsersRequest([utils.get_input_user(user) for user in crowd.users]))
        await client(functions.channels.GetChannelsRequest([utils.get_input_channel(one) for one in channels]))
        await client(functions.messages.GetChatsRequest(groups))

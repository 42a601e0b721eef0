"""Fixtures for the documentation's code: an account at the loopback data centres, and an
`anon.session`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from telethon import TelegramClient
from telethon.client import telegrambaseclient
from telethon.sessions import SQLiteSession, StringSession

import telethon_session_rust
from support import entities
from support.clients import sign_in
from support.loopback import Account, DataCentres

ANNIKA = entities.user(777, 888, username="annika", phone="79990000777", first_name="Annika", last_name="S")
PEOPLE = [ANNIKA, *entities.crowd(100)]


@contextmanager
def in_a_thread(telegram: DataCentres) -> Iterator[asyncio.AbstractEventLoop]:
    """Runs the data centres in a thread with its own event loop, because the pages' programs create
    theirs.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(telegram.__aenter__(), loop).result()
        yield loop
        asyncio.run_coroutine_threadsafe(telegram.__aexit__(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Makes Telethon's clients connect to the loopback data centres, and answers prompts for phone
    number and code.
    """
    telegram = DataCentres()
    with in_a_thread(telegram) as loop:
        monkeypatch.setattr(telegrambaseclient, "DEFAULT_DC_ID", telegram.home.dc_id)
        monkeypatch.setattr(telegrambaseclient, "DEFAULT_IPV4_IP", "127.0.0.1")
        monkeypatch.setattr(telegrambaseclient, "DEFAULT_PORT", telegram.home.port)
        account = telegram.new_user()
        telegram.directory.add_all(PEOPLE)
        monkeypatch.setattr("builtins.input", lambda prompt: account.code if "code" in prompt else account.phone)
        monkeypatch.setenv("SESSION", asyncio.run_coroutine_threadsafe(create_session(account), loop).result())
        monkeypatch.setenv("SESSION_KEY", os.urandom(32).hex())
        # A program starts with a current event loop.
        loop_of_page = asyncio.new_event_loop()
        asyncio.set_event_loop(loop_of_page)
        yield account
        loop_of_page.close()
        asyncio.set_event_loop(None)
        # Undoes the page's changes to global state.
        telethon_session_rust.uninstall()
        logging.getLogger("telethon_session_rust").setLevel(logging.NOTSET)


async def create_session(account: Account) -> str:
    """Creates `anon.session` with Telethon, and returns its login as a string."""
    session = SQLiteSession("anon")
    client = await sign_in(TelegramClient(session, 1, "hash"), account)
    session.process_entities(PEOPLE)
    string: Any = StringSession.save(session)
    await client.disconnect()
    return string

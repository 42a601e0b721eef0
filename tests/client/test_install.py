"""`install()` replaces Telethon's classes without changes to other code; `uninstall()` restores
them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import telethon
import telethon.sessions
from telethon import TelegramClient

from support.clients import MakeClient, meet, sign_in
from support.loopback import DataCentres, World
from support.programs import command
from telethon_session_rust import (
    RustEntityCache,
    RustMemorySession,
    RustSQLiteSession,
    RustStringSession,
    install,
    uninstall,
)
from telethon_session_rust.entity_cache import TELETHONS_CACHE

OURS = {"SQLiteSession": RustSQLiteSession, "MemorySession": RustMemorySession, "StringSession": RustStringSession}
THEIRS = {name: getattr(telethon.sessions, name) for name in OURS}


@pytest.fixture(autouse=True)
def uninstall_afterwards() -> Iterator[None]:
    yield
    uninstall()


def telethon_names() -> list[str]:
    """Returns every name in Telethon's modules with its value."""
    names = [name for name in sys.modules if name.partition(".")[0] == "telethon"]
    return [f"{name}.{key}: {value!r}" for name in sorted(names) for key, value in vars(sys.modules[name]).items()]


def client_cache(client: TelegramClient) -> type | None:
    return type(getattr(client, "_mb_entity_cache", None))


async def test_new_clients_and_imports_use_our_classes_until_uninstall() -> None:
    before = telethon_names()
    earlier, unnamed = TelegramClient("earlier", 1, "hash"), TelegramClient(None, 1, "hash")
    install()
    install()
    for name, ours in OURS.items():
        assert getattr(telethon.sessions, name) is ours
        assert getattr(sys.modules[f"telethon.sessions.{name[:-7].lower()}"], name) is ours
    assert type(earlier.session) is THEIRS["SQLiteSession"]
    client = TelegramClient("anon", 1, "hash")
    assert type(client.session) is RustSQLiteSession
    assert type(TelegramClient(None, 1, "hash").session) is OURS[type(unnamed.session).__name__]
    assert client_cache(client) is (RustEntityCache if TELETHONS_CACHE else type(None))
    uninstall()
    uninstall()
    assert telethon_names() == before
    later = TelegramClient("later", 1, "hash")
    assert type(later.session) is THEIRS["SQLiteSession"]
    assert client_cache(later) is (TELETHONS_CACHE or type(None))
    # The existing client keeps our session.
    client.session.set_dc(2, "149.154.167.51", 443)
    for each in (earlier, client, later):
        each.session.close()


def test_subclasses_keep_their_bases() -> None:
    class Earlier(telethon.sessions.SQLiteSession):
        pass

    install()

    class Later(telethon.sessions.SQLiteSession):
        pass

    uninstall()
    assert issubclass(Earlier, THEIRS["SQLiteSession"]) and not issubclass(Earlier, RustSQLiteSession)
    assert issubclass(Later, RustSQLiteSession)


async def test_a_client_works_after_install(telegram: DataCentres, new_client: MakeClient) -> None:
    install()
    account = telegram.new_user()
    client = await sign_in(new_client(telethon.sessions.SQLiteSession("anon")), account)
    crowd = World().crowd(300)
    await meet(client, telegram, account, crowd)
    for entity in (*crowd.users, *crowd.chats):
        assert await client.get_input_entity(entity.id) is not None
    if TELETHONS_CACHE:
        cache = client._mb_entity_cache
        assert type(cache) is RustEntityCache
        assert all(cache.get(user.id).hash == user.access_hash for user in crowd.users)
    await client.log_out()


@pytest.mark.parametrize("first", ["telethon.sync", "telethon_session_rust"])
def test_with_telethon_sync(first: str) -> None:
    subprocess.run(command("create_sync_client", first, options=("-W", "error::RuntimeWarning")), check=True)
    assert RustSQLiteSession("anon").port == 443

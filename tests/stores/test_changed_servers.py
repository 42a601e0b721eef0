"""Servers that for a while refuse a session's password, or take no writes: what is dirty stays so, and is
there afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from pymongo.errors import OperationFailure

from support import entities, servers
from support.contents import KEY, OTHER_KEY
from support.servers.mongodb import MongoServer
from support.servers.mysql import MySQLServer
from support.servers.postgres import PostgresServer
from support.servers.proxy import Proxy
from support.servers.redis import RedisServer
from telethon_session_rust import SessionError, open_session

PASSWORD, OTHER_PASSWORD = "made-up-1", "made-up-2"


def set_password(server: servers.Server, password: str) -> None:
    """Sets the password of the user `bot`, who is created if necessary."""
    if isinstance(server, RedisServer):
        assert server.ask(f"ACL SETUSER bot on resetpass >{password} ~* +@all") == "+OK"
    elif isinstance(server, PostgresServer):
        server.run("create role bot login", check=False)
        server.run(f"alter role bot password '{password}'")
    elif isinstance(server, MySQLServer):
        server.run("create user if not exists bot@'127.0.0.1'; grant all on telethon_bot.* to bot@'127.0.0.1'")
        server.run(f"alter user bot@'127.0.0.1' identified by '{password}'")
    else:
        with pymongo.MongoClient[Any](server.url()) as client:
            database = client["telethon"]
            try:
                database.command("createUser", "bot", pwd=password, roles=["readWrite"])
            except OperationFailure:
                database.command("updateUser", "bot", pwd=password)


def url_of_bot(server: servers.Server) -> str:
    """Returns the URL of a database of that user."""
    url = server.url("telethon_bot" if isinstance(server, (MySQLServer, PostgresServer)) else "telethon")
    parts = urlsplit(url)
    query = "authSource=telethon" if isinstance(server, MongoServer) else ""
    parts = parts._replace(netloc=f"bot:{PASSWORD}@127.0.0.1:{server.port}", query=query)
    if isinstance(server, PostgresServer):
        server.run("grant create, usage on schema public to bot", "telethon_bot")
    return parts.geturl()


def use_while_refused(url: str, refuse: Callable[[], None], allow: Callable[[], None]) -> None:
    location = f"{url}#{servers.new_name()}"
    session = open_session(location)
    session.process_entities([entities.user(1, 1, username="first")])
    session.auth_key = KEY
    session.save()
    refuse()
    session.process_entities([entities.user(2, 2, username="second")])
    session.auth_key = OTHER_KEY
    with pytest.raises(SessionError) as raised:
        save_in_a_loop(session)
    assert PASSWORD not in str(raised.value) and KEY.key.hex() not in str(raised.value)
    session.process_entities([entities.user(3, 3, username="third")])
    # Nothing that was received raises, and it is known meanwhile.
    for id, username in enumerate(("first", "second", "third"), 1):
        assert session.get_input_entity(username).user_id == id
    allow()
    session.close()
    stored = open_session(location, timeout=60)
    assert stored.auth_key == OTHER_KEY
    assert {entity.id for entity in stored.entities()} == {1, 2, 3}
    stored.close()


def save_in_a_loop(session: Any) -> None:
    async def save() -> None:
        session.save()

    asyncio.run(save())


def test_a_password_is_changed(server: servers.Server) -> None:
    server.url()
    set_password(server, PASSWORD)
    with Proxy(server.port) as proxy:

        def refuse() -> None:
            set_password(server, OTHER_PASSWORD)
            # Connections that there are go on as they are.
            proxy.cut()

        use_while_refused(proxy.url(url_of_bot(server)), refuse, lambda: set_password(server, PASSWORD))


@pytest.mark.parametrize("server", ["redis", "mysql", "postgres"], indirect=True)
def test_a_server_takes_no_writes(server: servers.Server) -> None:
    server.url()
    set_password(server, PASSWORD)
    with Proxy(server.port) as proxy:

        def set_read_only(is_read_only: bool) -> None:
            if isinstance(server, RedisServer):
                primary = "127.0.0.1 1" if is_read_only else "NO ONE"
                assert server.ask(f"REPLICAOF {primary}") == "+OK"
            elif isinstance(server, MySQLServer):
                server.run(f"set global read_only = {int(is_read_only)}")
            else:
                assert isinstance(server, PostgresServer)
                server.run(f"alter role bot set default_transaction_read_only = {is_read_only}")
                proxy.cut()

        use_while_refused(proxy.url(url_of_bot(server)), lambda: set_read_only(True), lambda: set_read_only(False))

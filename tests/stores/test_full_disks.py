"""A server whose disk is full: what it did not take stays dirty, and is there when there is room again."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

import pytest

from support import entities, servers
from support.contents import KEY, OTHER_KEY
from support.servers.mongodb import MongoServer
from support.servers.server import Server
from support.servers.small_disk import SmallDisk, small_disk
from telethon_session_rust import SessionError, open_session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no mount"),
]

# Of one write, and of all of them: more than the room that servers keep.
COUNT, MOST = 4000, 40
# How long a server that has room may need.
PATIENCE = 10
OPTIONS = {
    # With `always` it ends itself.
    "redis": ["--appendfsync", "everysec"],
    "postgres": [],
    "mysql": ["--innodb-log-file-size=4M"],
    # Otherwise it has journals of 100 MB ahead.
    "mongodb": ["--wiredTigerEngineConfigString", "log=(enabled=true,file_max=1MB,prealloc=false)"],
}


@pytest.mark.parametrize("kind", servers.KINDS)
def test_a_full_disk(kind: str) -> None:
    if not servers.KINDS[kind].is_installed():
        pytest.skip(f"the server for {kind} is not installed")
    server = servers.KINDS[kind](*OPTIONS[kind])
    with small_disk(server.folder) as disk:
        try:
            server.start()
            fill_and_free(server, disk)
        finally:
            server.close()


def fill_and_free(server: Server, disk: SmallDisk) -> None:
    location = f"{server.url()}#anon"
    session = open_session(location)
    session.auth_key = KEY
    session.save()
    disk.fill()
    received = 0
    while is_written(session):
        assert received < MOST * COUNT
        receive(session, received + 1)
        received += COUNT
    session.auth_key = OTHER_KEY

    async def save() -> None:
        session.save()

    with suppress(SessionError):
        asyncio.run(save())
    for id in (1, received):
        assert session.get_input_entity(f"user_{id}").user_id == id
    disk.free()
    if isinstance(server, MongoServer) or not server.is_running:
        # It has ended itself, or tries to.
        server.kill()
        server.start()
    session.close()
    stored = open_session(location, timeout=60)
    assert stored.auth_key == OTHER_KEY
    assert {entity.id for entity in stored.entities()} == set(range(1, received + 1))
    stored.close()


def receive(session: Any, first: int) -> None:
    ids = range(first, first + COUNT)
    session.process_entities([entities.user(id, id, username=f"user_{id}", first_name="x" * 250) for id in ids])


def is_written(session: Any) -> bool:
    """Returns `True` if everything is on the server soon."""

    async def flush() -> None:
        await asyncio.wait_for(session.flush(), PATIENCE)

    try:
        asyncio.run(flush())
    except (SessionError, asyncio.TimeoutError):
        return False
    return True

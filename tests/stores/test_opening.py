"""Sessions are opened by URL, by class, and in an event loop, and share connections."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import MemorySession, Session

from support import entities, servers
from support.contents import KEY
from support.ports import free_port
from support.servers.mongodb import MongoServer
from support.servers.proxy import Proxy
from support.servers.redis import RedisServer
from telethon_session_rust import (
    RustMongoSession,
    RustRedisSession,
    RustSQLiteSession,
    RustSQLSession,
    SessionError,
    open_session,
)

# What one process may have on one server.
MOST_CONNECTIONS = 16


@pytest.fixture
def cls(server: servers.Server) -> type[Any]:
    if isinstance(server, RedisServer):
        return RustRedisSession
    return RustMongoSession if isinstance(server, MongoServer) else RustSQLSession


def test_a_url_or_a_class(cls: type[Any], database: str) -> None:
    name = f"a name/of ünusual # letters? {servers.new_name()}"
    session = cls(database, name)
    assert isinstance(session, Session) and isinstance(session, MemorySession)
    session.auth_key = KEY
    session.save()
    session.close()
    quoted = name.replace(" ", "%20").replace("#", "%23")
    same = open_session(f"{database}#{quoted}")
    assert type(same) is cls and same.session_name == name and same.auth_key == KEY
    same.close()
    assert name in cls.list_sessions(database)
    for given in (RustRedisSession, RustSQLSession, RustMongoSession):
        with pytest.raises(TypeError):
            given.list_sessions()
        if given is not cls:
            with pytest.raises(ValueError):
                given(database, name)
    with pytest.raises(ValueError, match="name"):
        open_session(database)
    with pytest.raises(ValueError):
        cls(database, "")


def test_anything_else_is_a_file(folder: Path) -> None:
    assert type(open_session("anna")) is RustSQLiteSession
    assert type(open_session(folder / "anna2")) is RustSQLiteSession
    with pytest.raises(ValueError, match="no known kind"):
        open_session("ftp://host#anna")


async def test_opening_in_a_loop(cls: type[Any], server: servers.Server, database: str) -> None:
    name = servers.new_name()
    with Proxy(server.port) as proxy:
        proxy.delay = 0.1
        opening = asyncio.ensure_future(cls.open(proxy.url(database), name, timeout=60, exclusive=True))
        turns = 0
        while not opening.done():
            await asyncio.sleep(0.01)
            turns += 1
        # A loop that waited would have made one.
        assert turns > 3
        session = opening.result()
        assert type(session) is cls and session.session_name == name
        proxy.delay = 0
        session.close()


def test_sessions_share_connections(server: servers.Server, database: str) -> None:
    with Proxy(server.port) as proxy:
        sessions = [open_session(f"{proxy.url(database)}#{servers.new_name()}", timeout=60) for _ in range(50)]
        for session in sessions:
            session.process_entities([entities.user(1, 1)])
        for session in sessions:
            session.save()
            session.close()
        assert proxy.connections <= MOST_CONNECTIONS


def test_passwords_are_not_shown(server: servers.Server, database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by what is printed, raised or logged, nor by the system's list of processes and threads."""
    caplog.set_level("DEBUG")
    password = "made%20up-secret"
    scheme, _, rest = database.partition("://")
    path = rest.rpartition("@")[2].partition("/")[2]
    shown = []
    # One is refused, and the other port is closed.
    for port in (server.port, free_port()):
        url = f"{scheme}://bot:{password}@127.0.0.1:{port}/{path}"
        for call in (lambda url=url: open_session(f"{url}#anon", timeout=2), lambda url=url: cls_list(url)):
            with pytest.raises(SessionError) as raised:
                call()
            shown += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
    session = open_session(f"{database}#{servers.new_name()}")
    shown += [repr(session), str(session), caplog.text]
    shown += [file.read_text(errors="replace") for file in Path("/proc/self").glob("cmdline")]
    shown += [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    session.close()
    for text in shown:
        assert "up-secret" not in text and "made up" not in text and "made%20up" not in text


def cls_list(url: str) -> list[str]:
    scheme = url.partition("://")[0]
    return {"redis": RustRedisSession, "mongodb": RustMongoSession}.get(scheme, RustSQLSession).list_sessions(
        url, timeout=2
    )

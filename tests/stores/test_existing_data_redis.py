"""What teleredis and redisthon from PyPI have written opens as a `RustRedisSession`, and stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from teleredis import RedisSession
from teleredis.teleredis import PackFunction, UnpackFunction
from telethon.crypto import AuthKey

from support import entities, servers
from support.community import check, redis_content, write
from support.reference import ReferenceMemorySession
from support.servers import new_name
from telethon_session_rust import RustRedisSession, SessionCorruptError

pytestmark = pytest.mark.parametrize("server", ["redis"], indirect=True)

DATED = {"add_timestamps": True}
PICKLE = {"pack_func": PackFunction.PICKLE, "unpack_func": UnpackFunction.PICKLE}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "indents": {"use_indents": True},
    "timestamps": DATED,
    "timestamps of its own": {**DATED, "ts_format": "%c", "use_indents": True},
    "prefix": {"hive_prefix": "bots:[a-z]*"},
    "pickle": PICKLE,
    "pickle with timestamps": {**PICKLE, **DATED},
}


@pytest.fixture
def client(server: servers.Server) -> Iterator[redis.Redis]:
    """A client of an empty server."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def name() -> str:
    return new_name()


def expected_after(turn: int, *, has_files: bool = True) -> ReferenceMemorySession:
    """Returns Telethon's session after a turn."""
    expected = ReferenceMemorySession()
    write(expected, turn, has_files=has_files)
    return expected


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_teleredis(client: redis.Redis, database: str, name: str, options: dict[str, Any]) -> None:
    has_files = "pack_func" in options
    for each in (name, f"{name}:entities", "other*"):
        # Its JSON cannot hold the digest of a file.
        write(RedisSession(each, client, **options), 1, has_files=has_files, has_pages=False)
    theirs = redis_content(client)
    expected = expected_after(1, has_files=has_files)
    ours = {key: value for key, value in options.items() if key == "hive_prefix"}
    session = RustRedisSession(database, name, **ours)
    check(session, expected, has_states=False)
    for each in (session, expected):
        write(each, 2)
    session.close()
    session = RustRedisSession(database, name, **ours)
    check(session, expected)
    assert {key: value for key, value in redis_content(client).items() if key in theirs} == theirs
    session.delete()
    assert redis_content(client).keys() >= theirs.keys()
    # It does not come back.
    again = RustRedisSession(database, name, **ours)
    assert (again.auth_key, list(again.entities())) == (None, [])


def sign_in(session: Any, dc_id: int) -> None:
    session.set_dc(dc_id, f"149.154.167.{dc_id}", 443)
    session.auth_key = AuthKey(bytes(n * dc_id % 256 for n in range(256)))


@pytest.mark.parametrize("options", [{}, DATED], ids=["undated", "dated"])
def test_teleredis_moved_to_another_data_centre(
    client: redis.Redis, database: str, name: str, options: dict[str, Any]
) -> None:
    moved = RedisSession(name, client, **options)
    for dc_id in (2, 5):
        sign_in(moved, dc_id)
    session = RustRedisSession(database, name)
    assert (session.dc_id, session.auth_key.key) == (5, moved.auth_key.key)


def test_teleredis_moved_twice(client: redis.Redis, database: str, name: str) -> None:
    moved = RedisSession(name, client)
    for dc_id in (5, 4):
        sign_in(moved, dc_id)
    with pytest.raises(SessionCorruptError, match="teleredis_dc"):
        RustRedisSession(database, name)
    session = RustRedisSession(f"{database}?teleredis_dc=4", name)
    assert (session.dc_id, session.auth_key.key) == (4, moved.auth_key.key)

    sign_in(RedisSession(f"{name}_dated", client, **DATED), 5)
    sign_in(RedisSession(f"{name}_dated", client, **DATED), 4)
    assert RustRedisSession(database, f"{name}_dated").dc_id == 4


def test_redisthon(client: redis.Redis, database: str, name: str, server: servers.Server) -> None:
    redisthon = pytest.importorskip("redisthon", reason="redisthon needs Python 3.11 and Telethon 1.34")
    theirs = redisthon.RedisSession(name, port=server.port)
    write(theirs, 1)
    theirs.takeout_id = 7
    theirs.save()
    theirs.close()
    before = redis_content(client)
    expires = {key: client.pexpiretime(key) for key in before}
    assert min(expires.values()) > 0
    expected = expected_after(1)
    session = RustRedisSession(database, name)
    check(session, expected)
    assert session.takeout_id == 7
    session.close()
    content = redis_content(client)
    assert {key: content[key] for key in before} == before
    assert {key: client.pexpiretime(key) for key in before} == expires
    assert {client.ttl(key) for key in content.keys() - before.keys()} == {-1}
    for key in before:
        client.pexpire(key, 1)
    while client.exists(*before):
        time.sleep(0.01)
    again = RustRedisSession(database, name)
    check(again, expected)
    assert again.takeout_id == 7


def test_a_client_names_the_server(client: redis.Redis, server: servers.Server, name: str) -> None:
    password = "made/up:@#?%&+ "
    client.acl_setuser("bot", enabled=True, passwords=[f"+{password}"], categories=["+@all"], keys=["*"])
    options: Any = {"port": server.port, "db": 3, "username": "bot", "password": password}
    with redis.Redis(**options, decode_responses=True) as theirs:
        session = RustRedisSession(theirs, name, prefix="bots")
        session.process_entities([entities.user(1, 1)])
        session.close()
        assert RustRedisSession.list_sessions(theirs, prefix="bots") == [name]
        assert theirs.keys("bots:*") and not client.keys("*")
    assert "made" not in repr(session)
    client.acl_deluser("bot")

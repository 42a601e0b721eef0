"""What telemongo from PyPI has written opens as a `RustMongoSession`, and stays."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import mongoengine
import pymongo
import pytest
from telemongo import MongoSession

from support import servers
from support.community import check, write
from support.reference import ReferenceMemorySession
from support.servers import new_name
from support.servers.community import disconnect_telemongo
from telethon_session_rust import RustMongoSession

pytestmark = pytest.mark.parametrize("server", ["mongodb"], indirect=True)

# An older release, for an older Telethon, cannot store update states.
HAS_STATES = version("telemongo") != "0.2.1"
# The names of its collections in the releases, and what its master branch calls them.
COLLECTIONS = ["session", "entity", "sent_file", "update_state"]
RENAMED = {name: f"telethon_{'entities' if name == 'entity' else name + 's'}" for name in COLLECTIONS}


@pytest.fixture
def name() -> str:
    return new_name()


@pytest.fixture
def client(server: servers.Server) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient("127.0.0.1", server.port) as client:
        yield client


def telemongo(server: servers.Server, name: str) -> Any:
    """Returns its session, which is its database."""
    # It may be connected to another name.
    disconnect_telemongo()
    # It also uses the default connection.
    mongoengine.connect(name, host=server.url(name), uuidRepresentation="standard")
    return MongoSession(name, host=server.url(name), uuidRepresentation="standard")


def content(client: pymongo.MongoClient[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    """Returns all documents of a database."""
    return {each: list(client[name][each].find().sort("_id")) for each in client[name].list_collection_names()}


@pytest.mark.parametrize("is_master", [False, True], ids=["0.2", "master"])
def test_telemongo(
    server: servers.Server,
    database: str,
    client: pymongo.MongoClient[dict[str, Any]],
    name: str,
    is_master: bool,
) -> None:
    theirs, expected = telemongo(server, name), ReferenceMemorySession()
    for session in (theirs, expected):
        write(session, 1, has_states=HAS_STATES)
        session.takeout_id = 2**40
    before = content(client, name)
    assert len(before) == 4 + HAS_STATES
    for old in before.keys() & RENAMED if is_master else ():
        client[name][old].rename(RENAMED[old])
    before = content(client, name)
    session = RustMongoSession(database, name)
    check(session, expected)
    assert session.takeout_id == 2**40
    for each in (session, expected):
        write(each, 2)
    session.close()
    check(RustMongoSession(database, name), expected)
    # In a database of another name there is nothing.
    assert RustMongoSession(database, f"{name}_other").auth_key is None
    again = RustMongoSession(database, name)
    again.delete()
    again.close()
    assert content(client, name) == before
    again = RustMongoSession(database, name)
    assert (again.auth_key, list(again.entities())) == (None, [])


def test_its_database_is_ours_too(
    server: servers.Server, client: pymongo.MongoClient[dict[str, Any]], name: str
) -> None:
    expected = ReferenceMemorySession()
    for session in (telemongo(server, name), expected):
        write(session, 1, has_states=HAS_STATES)
    before = content(client, name)
    session = RustMongoSession(server.url(name), name)
    check(session, expected)
    for each in (session, expected):
        write(each, 2)
    session.close()
    check(RustMongoSession(server.url(name), name), expected)
    assert {each: content(client, name)[each] for each in before} == before

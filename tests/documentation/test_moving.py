"""docs/moving.md: its steps move a login and a hundred entities from the real packages of other
storages.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import fakeredis
import mongoengine
import mongomock
import pytest
import redis
import sqlalchemy
import telemongo.telemongo
from alchemysession import AlchemySessionContainer
from mongomock.store import ServerStore
from telemongo import MongoSession
from teleredis import RedisSession
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl import types

from support.documents import ROOT, run_page
from support.files import dump
from support.loopback import Account
from support.reader import PEOPLE

pytestmark = pytest.mark.any_release

pytest_plugins = ["support.reader"]

# Files that the page creates from sessions with entities.
WITH_ENTITIES = ["from_sqlalchemy", "from_redis", "from_mongo"]


@pytest.fixture
def source_storages(reader: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stores the reader's session in each storage. Redis and MongoDB are mocked."""
    redis_server = fakeredis.FakeServer()

    class StrictRedis(fakeredis.FakeStrictRedis):
        def __init__(self) -> None:
            super().__init__(server=redis_server)

    monkeypatch.setattr(redis, "StrictRedis", StrictRedis)
    mock_server = {"mongo_client_class": mongomock.MongoClient, "_store": ServerStore()}
    connect = functools.partial(mongoengine.connect, **mock_server)
    monkeypatch.setattr(telemongo.telemongo, "connect", connect)
    # Other tests may have connected too.
    mongoengine.disconnect_all()
    engine = sqlalchemy.create_engine("sqlite:///old.db")
    container = AlchemySessionContainer(engine, manage_tables=False)
    container.Entity.metadata.create_all(engine)
    fill(container.new_session("anon"))
    fill(RedisSession("anon", redis.StrictRedis()))
    # telemongo also uses the default connection.
    connect("telethon", host="mongodb://localhost/telethon")
    fill(MongoSession("telethon", host="mongodb://localhost/telethon"))
    yield
    mongoengine.disconnect_all()
    engine.dispose()


def fill(storage: Any) -> None:
    session = SQLiteSession("anon")
    storage.set_dc(session.dc_id, session.server_address, session.port)
    storage.auth_key = session.auth_key
    for user in PEOPLE:
        # One at a time, because teleredis stores only the first entity of a page.
        storage.process_entities([user])
    storage.save()
    session.close()


# The other packages use deprecated functions of their dependencies.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("source_storages")
def test_the_page_moves_everything() -> None:
    run_page(ROOT / "docs" / "moving.md", lambda line: None)
    login = StringSession.save(SQLiteSession("anon"))
    names = ["from_string", "from_my_own", *WITH_ENTITIES]
    assert {name: StringSession.save(SQLiteSession(name)) for name in names} == dict.fromkeys(names, login)
    expected = {row[:5] for row in dump("anon.session")["entities"]}
    # The client's own row was not stored in the other storages.
    expected = {row for row in expected if row[0] in ids_of(PEOPLE)}
    assert len(expected) == len(PEOPLE)
    for name in WITH_ENTITIES:
        assert {row[:5] for row in dump(f"{name}.session")["entities"]} == expected
    assert SQLiteSession("from_redis").get_input_entity("annika") == types.InputPeerUser(777, 888)


def ids_of(users: list[Any]) -> set[int]:
    session = SQLiteSession(None)
    return {row[0] for row in session._entities_to_rows(users)}

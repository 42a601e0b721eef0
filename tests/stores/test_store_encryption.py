"""Sessions on servers with an `encryption_key`."""

from __future__ import annotations

from functools import partial
from typing import Any

import pymongo
import pytest

from support import servers
from support.encryption import (
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    Open,
    assert_refused,
    check_login,
    check_rotation,
    is_in_files,
    log_in,
    new_key,
    with_key,
)
from support.entities import user
from support.servers.mongodb import MongoServer
from support.servers.mysql import MySQLServer
from support.servers.postgres import PostgresServer
from support.servers.redis import RedisServer
from telethon_session_rust import open_session


@pytest.fixture
def open_it(location: str) -> Open:
    return partial(open_session, location, timeout=30)


def test_login(open_it: Open) -> None:
    check_login(open_it)


def test_rotation(open_it: Open) -> None:
    check_rotation(open_it)


def test_keys_on_the_server(server: servers.Server, open_it: Open, location: str) -> None:
    key, tmp_key, plain_key = new_key(), new_key(), new_key()
    plain = open_session(f"{location}_plain", timeout=30)
    log_in(plain, plain_key)
    plain.close()
    session = open_it(encryption_key=ENCRYPTION_KEY)
    session.store_tmp_auth_key_on_disk = True
    session.tmp_auth_key = tmp_key
    log_in(session, key)
    session.tmp_auth_key = tmp_key
    session.save()
    session.close()
    session = open_it(encryption_key=ENCRYPTION_KEY)
    assert session.auth_key == key and session.tmp_auth_key == tmp_key
    session.close()
    # A login that is not encrypted is found, so the search is of use.
    assert is_in_files(plain_key.key, server.folder)
    assert not is_in_files(key.key, server.folder) and not is_in_files(tmp_key.key, server.folder)


def test_wrong_keys(open_it: Open) -> None:
    key = new_key()
    with_key(open_it, ENCRYPTION_KEY, lambda session: log_in(session, key))
    assert_refused(open_it, key.key)
    assert_refused(open_it, key.key, OTHER_ENCRYPTION_KEY)
    assert with_key(open_it, ENCRYPTION_KEY, lambda session: session.auth_key) == key


def test_the_login_of_another_session(server: servers.Server, open_it: Open, location: str) -> None:
    """A login that was copied to another name on the server cannot be decrypted there."""
    key, name = new_key(), location.partition("#")[2]
    with_key(open_it, ENCRYPTION_KEY, lambda session: log_in(session, key))
    copy_login(server, name, f"{name}_copy")
    assert_refused(partial(open_session, f"{location}_copy", timeout=30), key.key, ENCRYPTION_KEY)


def copy_login(server: servers.Server, source: str, target: str) -> None:
    if isinstance(server, RedisServer):
        source, target = (f"telethon-session:{{{name}}}:login" for name in (source, target))
        assert server.ask(f"COPY {source} {target}") == ":1"
    elif isinstance(server, MongoServer):
        with pymongo.MongoClient[dict[str, Any]](server.url()) as client:
            sessions = client.get_default_database()["sessions"]
            login = sessions.find_one({"_id": source})
            assert login is not None
            sessions.insert_one({**login, "_id": target})
    else:
        assert isinstance(server, PostgresServer | MySQLServer)
        columns = "dc_id, server_address, port, auth_key"
        select = f"select '{target}', {columns} from sessions where session_id = '{source}'"
        server.run(f"insert into sessions (session_id, {columns}) {select}", "telethon")


def test_two_machines_seal_one_login(open_it: Open) -> None:
    """Each finds its own login, whichever of them has encrypted it."""
    key = new_key()
    one = open_it(encryption_key=ENCRYPTION_KEY)
    log_in(one, key)
    two = open_it(encryption_key=[OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY])
    two.save()
    # This one has only the older key: it goes on, but its login is not written.
    one.process_entities([user(5, 7, username="anna")])
    one.close()
    assert two.get_entity_rows_by_username("anna") == (5, 7)
    three = open_it(encryption_key=[OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY])
    three.takeout_id = 5
    three.save()
    two.takeout_id = 6
    two.save()
    three.close()
    # The form in which it is stored was written by another session.
    assert two.delete()

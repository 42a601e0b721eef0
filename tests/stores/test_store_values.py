"""Values that no program of ours has written, in each layout, and odd values that a program stores: good
rows are found, and no error is other than the documented ones.
"""

from __future__ import annotations

import json
import pickle
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import bson
import msgpack
import pymongo
import pytest
import redis
import sqlalchemy
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymongo.errors import PyMongoError
from telethon.tl import types

from support import entities, servers
from support.community import driver_url
from support.contents import KEY, STATE
from support.counters import tally
from support.edge_values import EDGES
from telethon_session_rust import SessionError, open_session

# Not shrunk, because each example takes long.
FEW = settings(
    max_examples=settings().max_examples // 4,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
GOOD = (7, 8, "good", "79990000001", "Good")

numbers = st.sampled_from([0, 1, -1, 7, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63, 2**70, 10**400]) | st.integers()
floats = st.floats()
texts = st.sampled_from(["", "7", "good", "Good", "a\0b", "x" * 300, "7" * 400, "\U0010ffff", "\ufeff"]) | st.text()
blobs = st.sampled_from([b"", b"\xff" * 256, b"\0" * 300, b"7", b"x" * 2**20]) | st.binary(max_size=40)
plain = st.none() | st.booleans() | numbers | floats | texts | blobs
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def read(location: str, *, has_good: bool = True, is_readable: bool = True) -> None:
    """Opens a session and asks it for everything."""
    try:
        session = open_session(location, timeout=60 if is_readable else 0.5)
    except SessionError:
        # Its login cannot be read.
        return
    found: dict[int, Any] = {}
    try:
        found = {entity.id: entity for entity in session.entities()}
    except SessionError:
        assert not is_readable
    for id in [*found][:20]:
        session.get_entity_rows_by_id(id)
    for key in ("good", "7", "Good", "+79990000001", "a\0b", "", "x" * 300, 7, 1, -1, 2**62):
        with suppress(ValueError):
            session.get_input_entity(key)
    session.get_update_states()
    session.get_update_state(0)
    # A hit is a TypeError, in Telethon too.
    with suppress(TypeError):
        session.get_file(b"1" * 16, 5, types.InputPhoto)
    if has_good:
        assert session.get_entity_rows_by_username("good") == GOOD[:2]
        assert found[7].access_hash == 8
    # It also writes what is there.
    session.process_entities([entities.user(id, 5, username=f"new_{id}") for id in (1, 2**40)])
    session.set_update_state(0, STATE)
    if is_readable:
        with suppress(SessionError):
            session.save()
        with suppress(SessionError):
            session.close()
    tally("foreign rows")


# Redis


fields = st.dictionaries(
    st.sampled_from(["layout", "dc_id", "server_address", "port", "auth_key", "takeout_id", "tmp_auth_key", "adopted"]),
    texts.map(lambda text: text.encode("utf-8", "replace")) | blobs,
    max_size=8,
)
raw = texts.map(lambda text: text.encode("utf-8", "replace")) | blobs | numbers.map(lambda number: str(number).encode())
hashes = st.dictionaries(raw, raw, max_size=6)


@pytest.fixture
def redis_client(server: servers.Server) -> redis.Redis:
    return redis.Redis(port=server.port)


@pytest.mark.parametrize("server", ["redis"], indirect=True)
@FEW
@given(
    login=fields, rows=st.lists(hashes, min_size=6, max_size=6), scalar=st.none() | st.tuples(st.integers(0, 6), raw)
)
def test_our_keys_in_redis(
    redis_client: redis.Redis, database: str, login: Any, rows: Any, scalar: tuple[int, bytes] | None
) -> None:
    name = servers.new_name()
    before = open_session(f"{database}#{name}")
    before.process_entities([entities.user(7, 8, username="good", phone="79990000001", first_name="Good")])
    before.close()
    prefix = f"telethon-session:{{{name}}}:"
    suffixes = ["entities", "states", "files", "usernames", "phones", "names"]
    for suffix, row in zip(suffixes, rows, strict=True):
        row = {key: value for key, value in row.items() if key not in (b"7", b"good")}
        if row:
            redis_client.hset(f"{prefix}{suffix}", mapping=row)
    if login:
        redis_client.hset(f"{prefix}login", mapping=login)
    if scalar:
        # A key of another type.
        redis_client.set(f"{prefix}{[*suffixes, 'login'][scalar[0]]}", scalar[1])
    read(f"{database}#{name}", has_good=scalar is None, is_readable=scalar is None)


def as_pickle(value: Any) -> bytes:
    return pickle.dumps(value)


def as_json(value: Any) -> bytes:
    return json.dumps(value, default=repr).encode("utf-8", "surrogatepass")


row_fields = st.sampled_from(["id", "hash", "username", "phone", "name"])
login_fields = st.sampled_from(["dc_id", "server_address", "port", "auth_key", "ts_ts", "ts_str"])


@pytest.mark.parametrize("server", ["redis"], indirect=True)
@FEW
@given(
    login=st.dictionaries(login_fields, plain | values, max_size=6),
    rows=st.lists(st.tuples(numbers | texts, st.dictionaries(row_fields, values, max_size=5) | values), max_size=5),
    pack=st.sampled_from([as_json, as_pickle]),
    noise=blobs,
)
def test_teleredis(
    redis_client: redis.Redis, database: str, login: Any, rows: Any, pack: Callable[[Any], bytes], noise: bytes
) -> None:
    name = servers.new_name()
    prefix = f"telethon:client:{name}"
    good = dict(zip(["id", "hash", "username", "phone", "name"], GOOD, strict=True))
    with redis_client.pipeline() as pipeline:
        pipeline.set(
            f"{prefix}:sessions:2", pack({"dc_id": 2, "server_address": "x", "port": 1, "auth_key": ""} | login)
        )
        for key, row in rows:
            if key != 7 and key != "7":
                pipeline.set(f"{prefix}:entities:{key}".encode("utf-8", "replace"), pack(row))
        pipeline.set(f"{prefix}:entities:55", noise)
        pipeline.set(f"{prefix}:entities:7", pack(good))
        pipeline.execute()
    read(f"{database}#{name}", has_good=False)


redisthon_fields = row_fields | st.just("access_hash")
msgpackable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | texts | blobs,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize("server", ["redis"], indirect=True)
@FEW
@given(
    login=st.dictionaries(st.sampled_from(["dc_id", "server_address", "port", "auth_key", "takeout_id"]), msgpackable),
    rows=st.dictionaries(
        raw, st.dictionaries(row_fields | st.just("access_hash"), msgpackable) | msgpackable, max_size=5
    ),
    states=st.dictionaries(raw, st.dictionaries(st.sampled_from(["pts", "qts", "seq"]), msgpackable), max_size=3),
    noise=blobs,
)
def test_redisthon(redis_client: redis.Redis, database: str, login: Any, rows: Any, states: Any, noise: bytes) -> None:
    name = servers.new_name()
    prefix = f"redisthon:session:{name}"
    base = {"session_name": name, "dc_id": 2, "server_address": "x", "port": 1, "auth_key": "", "version": 1}
    redis_client.set(f"{prefix}:data", msgpack.packb(base | login))
    for suffix, some in (("entities", rows), ("update_states", states), ("sent_files", states)):
        # States without a date are in a test of their own.
        dated = {"date": "2026-01-01T00:00:00+00:00"} if suffix == "update_states" else {}
        some = {key: value | dated if isinstance(value, dict) else value for key, value in some.items()}
        packed = {key: b64encode(msgpack.packb(value)) for key, value in some.items()}
        redis_client.hset(f"{prefix}:{suffix}", mapping=packed | {"55": noise})
    read(f"{database}#{name}", has_good=False)


# MongoDB


def is_int64(value: Any) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


int64s = numbers.filter(is_int64)
bsonable = st.recursive(
    st.none()
    | st.booleans()
    | int64s
    | floats
    | texts
    | blobs
    | st.sampled_from([bson.MinKey(), bson.MaxKey(), bson.ObjectId(b"1" * 12), bson.Int64(5), bson.Regex("a")])
    | st.sampled_from([bson.Decimal128("NaN"), bson.Timestamp(1, 2), bson.Code("x"), datetime.now(timezone.utc)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "i", "s"]), inner, max_size=3),
)
document_fields = row_fields | st.sampled_from(
    ["date", "pts", "qts", "seq", "dc_id", "port", "auth_key", "server_address"]
)
# Those without a valid date are in a test of their own.
DATED = {"date": 5}
documents = st.lists(st.tuples(bsonable, st.dictionaries(document_fields, bsonable)), max_size=5)


@pytest.fixture
def mongo_client(server: servers.Server) -> pymongo.MongoClient[Any]:
    return pymongo.MongoClient("127.0.0.1", server.port)


COLLECTIONS = ("session", "entity", "update_state", "sent_file")
MASTER = ("telethon_sessions", "telethon_entities", "telethon_update_states", "telethon_sent_files")


def insert(collection: Any, rows: list[dict[str, Any]]) -> None:
    # What the server refuses, such as an array as `_id`, cannot be there.
    for row in rows:
        with suppress(PyMongoError, bson.errors.BSONError, OverflowError):
            collection.insert_one(row)


@pytest.mark.parametrize("server", ["mongodb"], indirect=True)
@FEW
@given(
    login=st.dictionaries(document_fields | st.sampled_from(["fence", "lease", "adopted"]), bsonable),
    rows=documents,
    states=documents,
)
def test_our_collections_in_mongodb(
    mongo_client: pymongo.MongoClient[Any], database: str, login: Any, rows: Any, states: Any
) -> None:
    name = servers.new_name()
    before = open_session(f"{database}#{name}")
    before.process_entities([entities.user(7, 8, username="good", phone="79990000001", first_name="Good")])
    before.save()
    before.close()
    ours = mongo_client["telethon"]
    for collection, some in ((ours["entities"], rows), (ours["update_states"], states)):
        insert(collection, [{**row, **DATED, "_id": {"s": name, "i": id}} for id, row in some])
    if login:
        with suppress(PyMongoError, bson.errors.BSONError):
            ours["sessions"].update_one({"_id": name}, {"$set": login}, upsert=True)
    read(f"{database}#{name}")


@pytest.mark.parametrize("server", ["mongodb"], indirect=True)
def test_a_state_without_a_date_in_mongodb(mongo_client: pymongo.MongoClient[Any], database: str) -> None:
    name = servers.new_name()
    before = open_session(f"{database}#{name}")
    before.set_update_state(1, STATE)
    before.close()
    insert(mongo_client["telethon"]["update_states"], [{"_id": {"s": name, "i": 0}, "pts": 5}])
    session = open_session(f"{database}#{name}")
    assert [id for id, _ in session.get_update_states()] == [1]


@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_state_without_a_date_of_redisthon(redis_client: redis.Redis, database: str) -> None:
    name = servers.new_name()
    login = {"session_name": name, "dc_id": 2, "server_address": "x", "port": 1, "auth_key": "", "version": 1}
    redis_client.set(f"redisthon:session:{name}:data", msgpack.packb(login))
    redis_client.hset(f"redisthon:session:{name}:update_states", "0", b64encode(msgpack.packb({"pts": 5})))
    session = open_session(f"{database}#{name}")
    assert session.get_update_states() == []


@pytest.mark.parametrize("server", ["mongodb"], indirect=True)
@pytest.mark.parametrize("names", [COLLECTIONS, MASTER], ids=["0.2", "master"])
@FEW
@given(login=st.dictionaries(document_fields, bsonable), rows=documents, states=documents)
def test_telemongo(
    mongo_client: pymongo.MongoClient[Any],
    server: servers.Server,
    names: tuple[str, ...],
    login: Any,
    rows: Any,
    states: Any,
) -> None:
    name = servers.new_name()
    theirs = mongo_client[name]
    insert(theirs[names[0]], [{"dc_id": 2, "server_address": "x", "port": 1, "auth_key": b""} | login])
    for collection, some in ((names[1], rows), (names[2], states), (names[3], states)):
        insert(theirs[collection], [{**row, **DATED, "_id": id} for id, row in some if id != 7])
    theirs[names[1]].insert_one(dict(zip(["_id", "hash", "username", "phone", "name"], GOOD, strict=True)))
    read(f"{server.url()}#{name}", has_good=False)
    mongo_client.drop_database(name)


# SQL

SQL_TYPES = {
    "postgres": ["BIGINT", "INTEGER", "TEXT", "VARCHAR(32)", "DOUBLE PRECISION", "NUMERIC", "BYTEA", "BOOLEAN"],
    "mysql": ["BIGINT", "BIGINT UNSIGNED", "INTEGER", "TEXT", "VARCHAR(32)", "DOUBLE", "DECIMAL(60)", "BLOB", "BIT(8)"],
}
COLUMNS = {
    "sessions": ["dc_id", "server_address", "port", "auth_key"],
    "entities": ["id", "hash", "username", "phone", "name"],
    "sent_files": ["md5_digest", "file_size", "type", "id", "hash"],
    "update_state": ["entity_id", "pts", "qts", "date", "seq", "unread_count"],
}
columns = st.fixed_dictionaries(
    {table: st.lists(st.integers(0, 100), min_size=len(names), max_size=len(names)) for table, names in COLUMNS.items()}
)
sql_rows = st.fixed_dictionaries(
    {table: st.lists(st.tuples(*[plain] * len(names)), max_size=4) for table, names in COLUMNS.items()}
)


@pytest.fixture(scope="module")
def sql_engine(server: servers.Server) -> Any:
    return sqlalchemy.create_engine(driver_url(server.url("values")), isolation_level="AUTOCOMMIT")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("server", ["postgres", "mysql"], indirect=True)
@FEW
@given(types_of=columns, rows=sql_rows, keeps=st.lists(st.booleans(), min_size=4, max_size=4))
def test_tables_of_any_types(
    server: servers.Server, sql_engine: Any, types_of: Any, rows: Any, keeps: list[bool]
) -> None:
    """Of each table, the columns have the package's types or any others."""
    kind = "mysql" if "mysql" in server.url("values") else "postgres"
    sql_types = SQL_TYPES[kind]
    blob = "BLOB" if kind == "mysql" else "BYTEA"
    usual = {
        "sessions": ["INTEGER", "VARCHAR(255)", "INTEGER", blob],
        "entities": ["BIGINT", "BIGINT", "VARCHAR(32)", "BIGINT", "VARCHAR(255)"],
        "sent_files": [blob, "INTEGER", "INTEGER", "BIGINT", "BIGINT"],
        "update_state": ["BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "INTEGER"],
    }
    prefix = f"t{servers.new_name()}_"
    with sql_engine.connect() as connection:
        for keep, (table, names) in zip(keeps, COLUMNS.items(), strict=True):
            kinds = [sql_types[number % len(sql_types)] for number in types_of[table]]
            declared = ", ".join(map(" ".join, zip(names, usual[table] if keep else kinds, strict=True)))
            connection.execute(f"CREATE TABLE {prefix}{table} (session_id VARCHAR(255), {declared})")
            if table == "entities":
                insert_row(connection, prefix + table, names, GOOD)
            for row in rows[table]:
                insert_row(connection, prefix + table, names, row)
                # Twice, because there is no key.
                insert_row(connection, prefix + table, names, row)
    location = f"{server.url('values')}?table_prefix={prefix}#anon"
    read(location, has_good=False)
    with sql_engine.connect() as connection:
        for table in (*COLUMNS, "version", "telethon_session_rust", "telethon_session_rust_seen"):
            connection.execute(f"DROP TABLE IF EXISTS {prefix}{table}")


def insert_row(connection: Any, table: str, names: list[str], row: Any) -> None:
    places = ", ".join(["%s"] * (len(names) + 1))
    # What the column refuses cannot be there.
    with suppress(Exception):
        connection.execute(f"INSERT INTO {table} (session_id, {', '.join(names)}) VALUES ({places})", ("anon", *row))


# Values of programs.


@pytest.mark.parametrize("value", EDGES, ids=lambda value: repr(value)[:20])
def test_odd_values_are_stored_or_left_out(location: str, value: Any) -> None:
    """Whatever a session in memory takes does not keep the rest from being written."""
    session = open_session(location, timeout=60)
    calls: list[Callable[[], Any]] = [
        lambda: session.process_entities([entities.user(11, 1, username=value)]),
        lambda: session.process_entities([entities.user(12, 1, phone=value)]),
        lambda: session.process_entities([entities.user(13, 1, first_name=value)]),
        lambda: session.process_entities([entities.user(14, value)]),
        lambda: session.process_entities([entities.user(value, 1)]),
        lambda: session.process_entities([types.InputPeerUser(value, value)]),
        lambda: session.set_update_state(value, STATE),
        lambda: session.set_update_state(5, types.updates.State(value, 1, entities.DATE, 1, 1)),
        lambda: session.cache_file(value, 1, types.InputPhoto(1, 2, b"")),
        lambda: session.cache_file(b"1" * 16, value, types.InputPhoto(1, 2, b"")),
        lambda: session.cache_file(b"2" * 16, 1, types.InputPhoto(value, 2, b"")),
        lambda: session.get_input_entity(value),
        lambda: session.get_entity_rows_by_username(value),
        lambda: session.get_entity_rows_by_id(value),
    ]
    for call in calls:
        with suppress(TypeError, ValueError, OverflowError, AttributeError, sqlite3.Error):
            call()
    session.process_entities([entities.user(7, 8, username="good", phone="79990000001", first_name="Good")])
    session.auth_key = KEY
    session.close()
    read(location)
    stored = open_session(location, timeout=60)
    assert stored.auth_key == KEY
    stored.close()


@pytest.mark.parametrize("size", [10**6, 10**7])
def test_huge_texts(location: str, size: int) -> None:
    session = open_session(location, timeout=60)
    for id, field in enumerate(("username", "phone", "first_name"), 1):
        session.process_entities([entities.user(id, 1, **{field: "7" * size})])
    session.process_entities([entities.user(7, 8, username="good", phone="79990000001", first_name="Good")])
    session.auth_key = KEY
    session.close()
    read(location)

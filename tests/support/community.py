"""Sessions of other packages with their stores, based on either Telethon's `MemorySession` or ours."""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Protocol
from unittest.mock import patch

import fakeredis
import mongoengine
import mongomock
import redis
import sqlalchemy
from telethon import utils
from telethon.crypto import AuthKey
from telethon.sessions.memory import _SentFileType
from telethon.tl import types

from support import entities
from support.files import dump
from support.servers.redis import RedisServer
from support.waiting import until


class Store(Protocol):
    """A package's store, initially empty."""

    def open(self) -> Any:
        """Returns the session as a newly started program would load it."""

    def content(self) -> Any:
        """Returns everything in the store."""


class OpenStore(Protocol):
    def __call__(self, base: type) -> AbstractContextManager[Store]: ...


@functools.cache
def on_base(package: str, base: type) -> ModuleType:
    """Returns a private copy of the package, imported while `base` replaces Telethon's
    `MemorySession`.
    """
    others = unload(package)
    with patch("telethon.sessions.MemorySession", base), patch("telethon.sessions.memory.MemorySession", base):
        try:
            return importlib.import_module(package)
        finally:
            unload(package)
            sys.modules.update(others)


def unload(package: str) -> dict[str, ModuleType]:
    """Removes the package's modules, so that the next import loads them again, and returns them."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == package}


class AlchemyStore:
    """telethon-session-sqlalchemy with an SQLite file, using SQLAlchemy's ORM or, in core mode, not
    using it.
    """

    def __init__(self, base: type, path: Path, core_mode: bool) -> None:
        self._package = on_base("alchemysession", base)
        self._path = path
        self._core_mode = core_mode
        self._engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        self._container: Any = None

    def open(self) -> Any:
        self.close()
        self._container = self._package.AlchemySessionContainer(self._engine)
        self._container.core_mode = self._core_mode
        return self._container.new_session("anna")

    def content(self) -> Any:
        return dump(self._path)

    def close(self) -> None:
        """Drops unsaved changes, as the end of a program does."""
        if self._container:
            self._container.db.remove()


@contextmanager
def alchemy(base: type, *, core_mode: bool = False) -> Iterator[Store]:
    with TemporaryDirectory() as folder, closing(AlchemyStore(base, Path(folder, "store.db"), core_mode)) as store:
        yield store


class _SortedKeys:
    """Sorts keys, because Redis returns them in any order and teleredis takes the first or last
    match.
    """

    def keys(self, *args: Any) -> Any:
        return sorted(super().keys(*args))  # type: ignore[misc]


class Redis(_SortedKeys, redis.Redis):
    pass


class FakeRedis(_SortedKeys, fakeredis.FakeRedis):
    pass


@contextmanager
def redis_server() -> Iterator[redis.Redis]:
    """Yields a client of a new Redis server, or of a fake one where Redis is not installed."""
    if not RedisServer.is_installed():
        yield FakeRedis()
        return
    server = RedisServer("--appendonly", "no")
    try:
        server.start()
        with Redis(port=server.port) as client:
            yield client
    finally:
        server.close()


class TeleredisStore:
    def __init__(self, base: type, server: redis.Redis) -> None:
        self._package = on_base("teleredis", base)
        self._server = server

    def open(self) -> Any:
        return self._package.RedisSession("anna", self._server)

    def content(self) -> Any:
        return {key: self._server.get(key) for key in self._server.scan_iter()}


@contextmanager
def teleredis(base: type, *, server: redis.Redis) -> Iterator[Store]:
    server.flushdb()
    yield TeleredisStore(base, server)


class TelemongoStore:
    """telemongo with a mock MongoDB, which is connected to twice, as in telemongo's README."""

    def __init__(self, base: type) -> None:
        self._package = on_base("telemongo", base)
        self._options = {
            "host": "mongodb://localhost",
            "mongo_client_class": mongomock.MongoClient,
            "uuidRepresentation": "standard",
        }
        self._client = mongoengine.connect("anna", **self._options)

    def open(self) -> Any:
        return self._package.MongoSession("anna", **self._options)

    def content(self) -> Any:
        database = self._client["anna"]
        return {name: [*map(_without_id, database[name].find())] for name in sorted(database.list_collection_names())}

    def close(self) -> None:
        self._client.drop_database("anna")


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the row without object IDs, which are random."""
    return {key: value for key, value in row.items() if not isinstance(value, mongoengine.fields.ObjectId)}


@contextmanager
def telemongo(base: type) -> Iterator[Store]:
    with closing(TelemongoStore(base)) as store:
        yield store


class AlchemyServerStore:
    """telethon-session-sqlalchemy with a database on a server."""

    def __init__(self, url: str, *, core_mode: bool = False, **options: Any) -> None:
        self.engine = sqlalchemy.create_engine(driver_url(url))
        self._core_mode = core_mode
        self._options = options
        self._container: Any = None

    def open(self, name: str) -> Any:
        self.close()
        self._container = self.container()
        self._container.core_mode = self._core_mode
        return self._container.new_session(name)

    def close(self) -> None:
        """Closes all connections."""
        if self._container is not None:
            self._container.db.remove()
        self.engine.dispose()

    def container(self) -> Any:
        """Returns a new container, as the second start of a program has it.

        The first start fails on MySQL: a table has a key that MySQL refuses.
        """
        package = importlib.import_module("alchemysession")
        for _ in range(2):
            try:
                return package.AlchemySessionContainer(self.engine, **self._options)
            except sqlalchemy.exc.OperationalError as error:
                refused = error
        raise refused

    def content(self) -> dict[str, tuple[set[str], list[tuple[Any, ...]]]]:
        """Returns the definition and the rows of each table."""
        metadata = sqlalchemy.MetaData()
        metadata.reflect(self.engine)
        return {
            table.name: (
                {f"{each.name} {each.type} {each.nullable} {each.primary_key}" for each in table.columns}
                | {f"{each.name} {each.columns.keys()}" for each in table.indexes},
                sorted((tuple(row) for row in self.engine.execute(table.select())), key=repr),
            )
            for table in metadata.sorted_tables
        }


def driver_url(url: str) -> str:
    """Returns a URL with the driver that SQLAlchemy is to use."""
    return url.replace("mysql://", "mysql+pymysql://")


def redis_content(client: redis.Redis) -> dict[bytes, tuple[bytes, Any]]:
    """Returns the type and the value of each key."""
    content = {}
    for key in client.scan_iter():
        kind = client.type(key)
        content[key] = kind, client.hgetall(key) if kind == b"hash" else client.dump(key)
    return content


_DATA_CENTRES = [(2, "149.154.167.51"), (4, "149.154.167.91"), (5, "2001:b28:f23f:f005::a")]
_FILES = {types.InputDocument: 2**40, types.InputPhoto: 2**62}


def people(turn: int) -> list[Any]:
    """Returns entities with the smallest and largest numbers, some of which change in each turn."""
    return [
        *entities.crowd(14),
        entities.user(1001, 2**63 - 1, username="Annika", phone="79990000777", first_name="Анна", last_name="李小龍"),
        entities.user(2**40, -(2**63), username=f"turn{turn}", first_name=f"Turn {turn}"),
        entities.user(2000 + turn, turn, phone=f"888{turn:04}", first_name="\N{PARTY POPPER}" * (turn + 1)),
        entities.channel(9999999999, turn - 5, f"Новости {turn}", username=f"News_{turn}"),
        entities.chat(1002, f"Chat {turn}"),
    ]


def _digest(cls: type, turn: int) -> bytes:
    return hashlib.md5(f"{cls.__name__} {turn}".encode()).digest()


def write(session: Any, turn: int, *, has_files: bool = True, has_pages: bool = True, has_states: bool = True) -> None:
    """Signs in, meets people, receives updates and sends files."""
    dc_id, address = _DATA_CENTRES[turn % 3]
    session.set_dc(dc_id, address, 443)
    session.auth_key = AuthKey(bytes((turn + 3) * n % 251 for n in range(256)))
    for page in [people(turn)] if has_pages else [[entity] for entity in people(turn)]:
        session.process_entities(page)
    for channel in (0, 2**40) if has_states else ():
        session.set_update_state(channel, types.updates.State(2**30 + turn, turn, entities.DATE, channel % 3, 0))
    for cls, id in _FILES.items() if has_files else ():
        session.cache_file(_digest(cls, turn), 2**20 + turn, cls(id + turn, -id - turn, b""))
    session.save()


def check(session: Any, expected: Any, *, has_files: bool = True, has_states: bool = True) -> None:
    """Asserts that a session answers as Telethon's session in memory does."""
    assert answers(session, has_states=has_states) == answers(expected, has_states=has_states)
    for (digest, size, kind), file in expected._files.items() if has_files else ():
        cls = types.InputPhoto if kind == _SentFileType.PHOTO else types.InputDocument
        find = functools.partial(session.get_file, digest, size, cls)
        # Telethon makes the file without a reference, which its constructor requires.
        with patch.object(cls.__init__, "__defaults__", (b"",)):
            # One call waits some milliseconds for a server.
            until(lambda find=find: find() is not None)  # type: ignore[misc]
            found = find()
        assert file == ((found.id, found.access_hash) if isinstance(found, cls) else tuple(found))


def answers(session: Any, *, has_states: bool = True) -> dict[str, Any]:
    """Returns the login, and what a session answers, by what was asked."""
    known: dict[str, Any] = {name: getattr(session, name) for name in ("dc_id", "server_address", "port")}
    known["auth_key"] = session.auth_key and session.auth_key.key
    keys: list[Any] = [99, "unknown", 1001, 1002, 9999999999, types.PeerChat(1002), types.PeerChannel(9999999999)]
    for entity in [entity for turn in range(5) for entity in people(turn)]:
        keys += [utils.get_peer_id(entity), utils.get_display_name(entity)]
        keys += [text for name in ("username", "phone") if (text := getattr(entity, name, None))]
    for key in {str(key): key for key in keys}.values():
        try:
            known[f"entity {key}"] = session.get_input_entity(key).to_dict()
        except ValueError:
            known[f"entity {key}"] = None
    for channel in (0, 2**40, 1) if has_states else ():
        state = session.get_update_state(channel)
        # telethon-session-sqlalchemy returns a date without a time zone.
        known[f"state {channel}"] = state and (state.pts, state.qts, state.date.replace(tzinfo=timezone.utc), state.seq)
    return known

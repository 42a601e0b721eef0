"""Sessions of other packages with their stores, based on either Telethon's `MemorySession` or ours."""

from __future__ import annotations

import functools
import importlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
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

from support.files import dump


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
    program = shutil.which("redis-server")
    if program is None:
        yield FakeRedis()
        return
    with TemporaryDirectory() as folder:
        process, client = _start_redis(program, Path(folder))
        try:
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait()


def _start_redis(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], Redis]:
    while True:
        client = Redis(port=_free_port())
        port = str(client.get_connection_kwargs()["port"])
        options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", str(folder), "--logfile", "log"]
        process = subprocess.Popen([program, *options])
        while process.poll() is None:
            try:
                if client.info("server")["process_id"] == process.pid:
                    return process, client
            except redis.ConnectionError:
                time.sleep(0.01)
        client.close()
        log = (folder / "log").read_text()
        # Another process may take the port first.
        assert "Address already in use" in log, log


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


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

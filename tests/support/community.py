"""The community's sessions with their stores, on either base: what is `MemorySession` to them is Telethon's or ours."""

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
    """One package's store, empty at first."""

    def open(self) -> Any:
        """The session, as a program finds it that begins now."""

    def content(self) -> Any:
        """All that lies in the store."""


class OpenStore(Protocol):
    def __call__(self, base: type) -> AbstractContextManager[Store]: ...


@functools.cache
def on_base(package: str, base: type) -> ModuleType:
    """The package, imported while `base` is Telethon's `MemorySession`. Nobody else gets this copy of it."""
    others = forgotten(package)
    with patch("telethon.sessions.MemorySession", base), patch("telethon.sessions.memory.MemorySession", base):
        try:
            return importlib.import_module(package)
        finally:
            forgotten(package)
            sys.modules.update(others)


def forgotten(package: str) -> dict[str, ModuleType]:
    """The package's modules, which the next import makes anew."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == package}


class AlchemyStore:
    """telethon-session-sqlalchemy, by way of SQLAlchemy's ORM or, in core mode, without it; in a file of SQLite."""

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
        """What was not saved is lost, as at the end of a program."""
        if self._container:
            self._container.db.remove()


@contextmanager
def alchemy(base: type, *, core_mode: bool = False) -> Iterator[Store]:
    with TemporaryDirectory() as folder, closing(AlchemyStore(base, Path(folder, "store.db"), core_mode)) as store:
        yield store


class _InOrder:
    """Redis tells keys in any order, and teleredis takes the first one that fits, or the last."""

    def keys(self, *args: Any) -> Any:
        return sorted(super().keys(*args))  # type: ignore[misc]


class Redis(_InOrder, redis.Redis):
    pass


class FakeRedis(_InOrder, fakeredis.FakeRedis):
    pass


@contextmanager
def redis_server() -> Iterator[redis.Redis]:
    """A Redis of our own; where none is installed, one that is made of Python."""
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
        # Somebody else may take the port before it does.
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
    """In a MongoDB that is made of Python, and connected to twice, as telemongo's README has it."""

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
    """What has no id of its own has a random one."""
    return {key: value for key, value in row.items() if not isinstance(value, mongoengine.fields.ObjectId)}


@contextmanager
def telemongo(base: type) -> Iterator[Store]:
    with closing(TelemongoStore(base)) as store:
        yield store

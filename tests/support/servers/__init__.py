"""Real servers on free ports of 127.0.0.1, each with its own folder: Redis, PostgreSQL, MariaDB and MongoDB."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .mongodb import MongoServer
from .mysql import MySQLServer
from .postgres import PostgresServer
from .redis import RedisServer
from .server import Server

KINDS: dict[str, type[Server]] = {
    "redis": RedisServer,
    "postgres": PostgresServer,
    "mysql": MySQLServer,
    "mongodb": MongoServer,
}

_NUMBERS = itertools.count()


def new_name() -> str:
    """Returns a name that no other session on a server has."""
    return f"session_{os.getpid()}_{next(_NUMBERS)}"


def missing() -> list[str]:
    """Returns the kinds whose server is not installed here."""
    return [kind for kind, server in KINDS.items() if not server.is_installed()]


@contextmanager
def running(kind: str, *options: str) -> Iterator[Server]:
    """Starts a server with further options, and ends it afterwards."""
    server = KINDS[kind](*options)
    server.start()
    try:
        yield server
    finally:
        server.close()

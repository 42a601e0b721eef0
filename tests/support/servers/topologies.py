"""Several servers that belong together: a Sentinel, a cluster, a replica set, a replica."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pymongo

from support.waiting import until

from .mongodb import MongoServer
from .postgres import PostgresServer
from .redis import RedisServer
from .server import as_nobody


def redis_cli(port: int, *arguments: str) -> str:
    command = ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout


class Sentinel(RedisServer):
    """A Redis server, a replica of it, and the Sentinel that watches them. Itself it is the Sentinel."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = RedisServer()
        self.primary.start()
        self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica.start()
        until(lambda: "state=online" in redis_cli(self.primary.port, "info", "replication"))

    def prepare(self) -> None:
        (self.folder / "sentinel.conf").write_text(
            f"sentinel monitor mymaster 127.0.0.1 {self.primary.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n"
        )

    def _command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return ["redis-server", str(self.folder / "sentinel.conf"), "--sentinel", *options]

    def url(self, name: str = "telethon") -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/mymaster/0"

    def knows_the_replica(self) -> bool:
        return str(self.replica.port) in redis_cli(self.port, "sentinel", "replicas", "mymaster")

    def close(self) -> None:
        for server in (self.primary, self.replica):
            server.close()
        super().close()


@contextmanager
def sentinel() -> Iterator[Sentinel]:
    server = Sentinel()
    try:
        server.start()
        until(server.knows_the_replica)
        yield server
    finally:
        server.close()


@contextmanager
def redis_cluster() -> Iterator[list[RedisServer]]:
    """Starts a cluster of three."""
    with ExitStack() as stack:
        nodes = []
        for _ in range(3):
            node = RedisServer("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        redis_cli(nodes[0].port, "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes")
        for node in nodes:
            until(lambda node=node: "cluster_state:ok" in redis_cli(node.port, "cluster", "info"))  # type: ignore[misc]
        yield nodes


def move_slots(nodes: list[RedisServer], source: int, target: int, count: int) -> None:
    """Moves slots with their keys from one node of a cluster to another."""
    ids = [redis_cli(nodes[each].port, "cluster", "myid").strip() for each in (source, target)]
    options = ["--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", str(count), "--cluster-yes"]
    redis_cli(nodes[0].port, "--cluster", "reshard", f"127.0.0.1:{nodes[0].port}", *options)


class ReplicaSet:
    """Three MongoDB servers, one of which is the primary."""

    def __init__(self, nodes: list[MongoServer]) -> None:
        self.nodes = nodes

    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mongodb://{hosts}/telethon?replicaSet=rs"

    def primary(self) -> MongoServer | None:
        return next((node for node in self.nodes if node.is_running and ask(node, "hello")["isWritablePrimary"]), None)


def ask(node: MongoServer, command: str, value: Any = 1, **fields: Any) -> Any:
    """Runs a command on one server of a set."""
    with pymongo.MongoClient[Any]("127.0.0.1", node.port, directConnection=True) as client:
        return client.admin.command(command, value, **fields)


@contextmanager
def replica_set() -> Iterator[ReplicaSet]:
    with ExitStack() as stack:
        nodes = [MongoServer("--replSet", "rs") for _ in range(3)]
        for node in nodes:
            stack.callback(node.close)
            node.start()
        members = [{"_id": id, "host": f"127.0.0.1:{node.port}"} for id, node in enumerate(nodes)]
        settings = {"electionTimeoutMillis": 1000}
        ask(nodes[0], "replSetInitiate", {"_id": "rs", "members": members, "settings": settings})
        replicas = ReplicaSet(nodes)
        until(lambda: replicas.primary() is not None)
        yield replicas


class PostgresReplica(PostgresServer):
    """A copy of a PostgreSQL server that follows it, and takes no writes until it is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self._primary = primary

    def prepare(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        basebackup = [str(self._program("pg_basebackup")), "-D", str(self.folder / "data"), "-R", "-c", "fast"]
        subprocess.run(as_nobody([*basebackup, "-d", self._primary.url("postgres")]), check=True, capture_output=True)

"""Sessions on several servers that belong together, whose primary changes or whose data is moved."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import pytest

from support import entities, servers
from support.contents import KEY, OTHER_KEY
from support.servers.postgres import PostgresServer
from support.servers.topologies import (
    PostgresReplica,
    ask,
    move_slots,
    redis_cli,
    redis_cluster,
    replica_set,
    sentinel,
)
from support.waiting import until
from telethon_session_rust import SessionError, open_session

pytestmark = pytest.mark.slow


def skip_without(kind: str) -> None:
    if not servers.KINDS[kind].is_installed():
        pytest.skip(f"the server for {kind} is not installed")


class Writer:
    """A session that receives an entity now and then, in a thread."""

    def __init__(self, url: str, name: str = "anon") -> None:
        self.location = f"{url}#{name}"
        self.session: Any = open_session(self.location, timeout=60)
        self.session.auth_key = KEY
        self.session.save()
        self._last = 0
        self.start()

    def start(self) -> None:
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._is_ended.wait(0.005):
            self._last += 1
            self.session.process_entities([entities.user(self._last, 1, username=f"user_{self._last}")])

    def end(self) -> None:
        """Checks that everything is on the servers."""
        self.session.auth_key = OTHER_KEY
        self.session.save()
        self.session.close()
        stored = open_session(self.location, timeout=60)
        assert stored.auth_key == OTHER_KEY
        assert {entity.id for entity in stored.entities()} == set(range(1, self._last + 1))
        stored.close()

    def stop(self) -> None:
        self._is_ended.set()
        self._thread.join()

    def wait(self) -> None:
        """Waits until some more entities were received."""
        until(lambda last=self._last: self._last > last + 100)  # type: ignore[misc]


def test_sentinel_chooses_another_primary() -> None:
    skip_without("redis")
    with sentinel() as server:
        writer = Writer(server.url())
        try:
            writer.wait()
            # Redis does not wait for replicas: what a primary has not passed on when it is killed is lost.
            writer.stop()
            writer.session.save()
            until(lambda: offset(server.primary.port) == offset(server.replica.port))
            server.primary.pause()
            writer.start()
            writer.wait()
            server.primary.kill()
            writer.wait()
            until(lambda: "role:master" in redis_cli(server.replica.port, "info", "replication"))
            writer.wait()
            server.primary.start()
            writer.wait()
        finally:
            writer.stop()
        writer.end()


def offset(port: int) -> str:
    lines = redis_cli(port, "info", "replication").splitlines()
    return next(line.partition(":")[2] for line in lines if line.startswith("master_repl_offset:"))


def test_slots_of_a_cluster_are_moved() -> None:
    skip_without("redis")
    with redis_cluster() as nodes:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}"
        writers = [Writer(url, f"bot{number}") for number in range(6)]
        try:
            move_slots(nodes, 0, 2, 5461)
            writers[0].wait()
            move_slots(nodes, 2, 1, 8000)
            nodes[1].kill()
            writers[0].wait()
            nodes[1].start()
        finally:
            for writer in writers:
                writer.stop()
        for writer in writers:
            writer.end()
        assert open_session(f"{url}#bot0").list_sessions(url) == [f"bot{number}" for number in range(6)]


def test_a_replica_set_elects_another_primary() -> None:
    skip_without("mongodb")
    with replica_set() as replicas:
        writer = Writer(replicas.url())
        try:
            writer.wait()
            first = replicas.primary()
            assert first is not None
            ask(first, "replSetStepDown", 60, secondaryCatchUpPeriodSecs=10)
            until(lambda: replicas.primary() not in (None, first))
            writer.wait()
            second = replicas.primary()
            assert second is not None
            second.kill()
            writer.wait()
            until(lambda: replicas.primary() is not None)
        finally:
            writer.stop()
        writer.end()


def test_a_replica_is_promoted() -> None:
    """Until then it takes no writes."""
    skip_without("postgres")
    with servers.running("postgres") as primary:
        assert isinstance(primary, PostgresServer)
        before = open_session(f"{primary.url()}#anon")
        before.auth_key = KEY
        before.process_entities([entities.user(1, 1)])
        before.close()
        with closing(PostgresReplica(primary)) as replica:
            replica.start()
            url = f"postgresql://{primary.url().partition('://')[2]}".replace(f":{primary.port}/", f":{replica.port}/")
            session = open_session(f"{url}#anon", timeout=2)
            assert session.auth_key == KEY and session.get_entity_rows_by_id(1)
            session.process_entities([entities.user(2, 2)])
            session.auth_key = OTHER_KEY
            with pytest.raises(SessionError):
                session.save()
            primary.kill()
            assert replica.run("select pg_promote()") == "t"
            session.close()
            stored = open_session(f"{url}#anon")
            assert stored.auth_key == OTHER_KEY
            assert {entity.id for entity in stored.entities()} == {1, 2}
            stored.close()

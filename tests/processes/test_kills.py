"""After SIGKILL at any moment under load, a session file is intact and contains everything that it
must contain.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle, pairwise
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any

import pytest
from telethon.sessions import MemorySession, SQLiteSession

from support.counters import tally
from support.files import dump
from support.kills import ENTITIES, HEARTBEAT, HEARTBEAT_INTERVAL, KEY, STATE, Death, Event, Plan, batch, key, spawner
from support.profile import PROFILE
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")]

KILLS = {"quick": 10, "long": 150}.get(PROFILE, 100)
# The number of programs that run at once, each with its own file.
CONCURRENCY = 2
# Changes are on disk "about a second after the change, as long as the disk keeps up": after one
# second, plus the time for which the program's heartbeats stalled, as they do when the machine or
# the disk stalls. A heartbeat adds only its delay beyond the tolerance.
MAX_DELAY = 1
TOLERANCE = 0.01


@contextmanager
def spawners() -> Iterator[list[Connection]]:
    spawning = multiprocessing.get_context("spawn")
    pipes = [spawning.Pipe() for _ in range(CONCURRENCY)]
    processes = [spawning.Process(target=spawner, args=(far_end,), daemon=True) for _, far_end in pipes]
    for process, (_, far_end) in zip(processes, pipes, strict=True):
        process.start()
        far_end.close()
    try:
        yield [near_end for near_end, _ in pipes]
    finally:
        for process, (near_end, _) in zip(processes, pipes, strict=True):
            near_end.close()
            process.join()


class Heartbeats:
    """The times of the program's heartbeats, and how long they stalled."""

    def __init__(self, death: Death) -> None:
        times = [event.at for event in death.events if event.what == HEARTBEAT]
        self._gaps = [
            (later, later - earlier - HEARTBEAT_INTERVAL - TOLERANCE) for earlier, later in pairwise([*times, death.at])
        ]
        self._end = death.at

    def must_be_saved(self, at: float) -> bool:
        """Returns `True` if a change of that time had to be on disk at the kill."""
        stalled = sum(max(0, seconds) for end, seconds in self._gaps if end > at)
        return self._end - at > MAX_DELAY + stalled


def values_of(event: Event) -> dict[Any, Any]:
    """Returns the rows that an event changes, and their new values."""
    if event.what == STATE:
        return {("state", event.first_id): event.serial}
    rows = map(MemorySession()._entity_to_row, batch(event.first_id, event.count, event.serial))
    return {("entity", id): (hash, username, name) for id, hash, username, _, name in rows}


class SessionFile:
    """A file whose programs are killed one after the other, and its expected content."""

    def __init__(self, path: Path, random: Random, mode: str) -> None:
        self.path = path
        self.random = random
        self.mode = mode
        if mode == "wal":
            SQLiteSession(str(path)).close()
            with closing(sqlite3.connect(path)) as file:
                file.execute("pragma journal_mode = wal")
        # The content after the last kill.
        self.rows: dict[Any, Any] = {}
        self.key: bytes | None = None
        self.new_id = self.serial = 1

    def plan(self) -> Plan:
        """Returns a plan that is mostly long enough for required rows, and sometimes too short to
        create the file.
        """
        shortest, longest = (1.2, 2) if self.random.random() < 0.75 else (0.05, 2.5)
        return Plan(
            self.path,
            self.random.getrandbits(32),
            self.new_id,
            self.serial,
            self.random.uniform(shortest, longest),
            # A transaction is detected by its journal, which WAL mode does not have.
            self.mode == "delete" and self.random.random() < 0.3,
        )

    def check(self, death: Death, schema: Any) -> None:
        assert os.WTERMSIG(death.status) == signal.SIGKILL
        tally("kills")
        for suffix in ("journal", "wal"):
            path = self.path.with_name(f"{self.path.name}-{suffix}")
            tally(f"kills that left a {suffix}", path.exists() and path.stat().st_size > 0)
        self.check_key(death)
        content = dump(self.path)
        assert content["schema"] == schema
        self.check_rows(death, content)
        for event in death.events:
            self.new_id = max(self.new_id, event.first_id + event.count)
            self.serial = max(self.serial, event.serial + 1)

    def check_key(self, death: Death) -> None:
        """Opens the file by both classes, in random order, and checks its key."""
        keys = [self.key]
        for event in death.events:
            if event.what == KEY:
                keys = [key(event.serial).key] if event.is_done else [*keys, key(event.serial).key]
        for session_class in self.random.sample([RustSQLiteSession, SQLiteSession], 2):
            session = session_class(str(self.path))
            self.key = session.auth_key.key if session.auth_key else None
            session.close()
            assert self.key in keys, session_class.__name__

    def check_rows(self, death: Death, content: dict[str, list[Any]]) -> None:
        """Checks that each row has the last value that had to be on disk, or a newer one."""
        heartbeats = Heartbeats(death)
        before = self.rows
        self.rows = {("entity", id): (hash, username, name) for id, hash, username, _, name, _ in content["entities"]}
        self.rows |= {("state", id): pts for id, pts, *_ in content["update_state"]}
        allowed = {row: [value] for row, value in before.items()}
        required = set()
        for event in death.events:
            if event.what not in (ENTITIES, STATE):
                continue
            must_be_saved = event.is_done and heartbeats.must_be_saved(event.at)
            for row, value in values_of(event).items():
                if must_be_saved:
                    allowed[row] = [value]
                    required.add(row)
                elif not event.is_done:
                    allowed.setdefault(row, [None]).append(value)
        tally("rows that had to survive a kill", len(required))
        found = {row: (self.rows.get(row), allowed.get(row)) for row in self.rows.keys() | allowed.keys()}
        assert {
            row: (actual, expected) for row, (actual, expected) in found.items() if actual not in (expected or ())
        } == {}


@pytest.fixture
def schema() -> Any:
    SQLiteSession("theirs").close()
    return dump("theirs.session")["schema"]


def test_kill_at_any_moment(folder: Path, schema: Any) -> None:
    seed = Random().getrandbits(32)
    print(f"seed {seed}")
    random = Random(seed)
    with spawners() as pipes:
        modes = dict(zip(pipes, cycle(("delete", "wal"))))
        files = {pipe: SessionFile(folder / f"anna{n}.session", random, modes[pipe]) for n, pipe in enumerate(pipes)}
        for pipe, file in files.items():
            pipe.send(file.plan())
        for kill in range(1, KILLS + 1):
            pipe = wait(pipes)[0]
            files[pipe].check(pipe.recv(), schema)
            if kill <= KILLS - CONCURRENCY:
                pipe.send(files[pipe].plan())

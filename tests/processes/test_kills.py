"""Killed with SIGKILL at any moment under load, a session file is whole and holds what it was promised to hold."""

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

from support.counters import tried
from support.files import dump
from support.kills import BEAT, BEAT_EVERY, ENTITIES, KEY, STATE, Death, Life, Told, key, nursery, page
from support.profile import PROFILE
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")]

KILLS = {"quick": 10, "long": 150}.get(PROFILE, 100)
# Programs that live at once, each with a file of its own.
LANES = 2
# What is received is on disk "about a second after the change, as long as the disk keeps up": after one second, and as
# many more as the program's own heart stood still meanwhile, which it does when the machine or the disk does. A beat
# adds only what it is late beyond the tolerance, so where all keeps up the second is a second.
PROMISE = 1
TOLERANCE = 0.01


@contextmanager
def nurseries() -> Iterator[list[Connection]]:
    spawning = multiprocessing.get_context("spawn")
    pipes = [spawning.Pipe() for _ in range(LANES)]
    processes = [spawning.Process(target=nursery, args=(theirs,), daemon=True) for _, theirs in pipes]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
    try:
        yield [ours for ours, _ in pipes]
    finally:
        for process, (ours, _) in zip(processes, pipes, strict=True):
            ours.close()
            process.join()


class Beats:
    """When the program's heart beat, and for how long it stood still."""

    def __init__(self, death: Death) -> None:
        times = [told.at for told in death.told if told.what == BEAT]
        self._gaps = [
            (later, later - earlier - BEAT_EVERY - TOLERANCE) for earlier, later in pairwise([*times, death.at])
        ]
        self._end = death.at

    def is_due(self, at: float) -> bool:
        """Whether what was received then had to be on disk in the end."""
        stood_still = sum(max(0, seconds) for end, seconds in self._gaps if end > at)
        return self._end - at > PROMISE + stood_still


def values_of(told: Told) -> dict[Any, Any]:
    """Which rows of the file it changes, and to what."""
    if told.what == STATE:
        return {("state", told.first_id): told.serial}
    rows = map(MemorySession()._entity_to_row, page(told.first_id, told.count, told.serial))
    return {("entity", id): (hash, username, name) for id, hash, username, _, name in rows}


class SessionFile:
    """A file whose programs are killed one after the other, and what must be in it."""

    def __init__(self, path: Path, random: Random, mode: str) -> None:
        self.path = path
        self.random = random
        self.mode = mode
        if mode == "wal":
            SQLiteSession(str(path)).close()
            with closing(sqlite3.connect(path)) as file:
                file.execute("pragma journal_mode = wal")
        # What the last kill has left.
        self.rows: dict[Any, Any] = {}
        self.key: bytes | None = None
        self.new_id = self.serial = 1

    def life(self) -> Life:
        """Mostly long enough for much to be due, and here and there too short to make the file."""
        shortest, longest = (1.2, 2) if self.random.random() < 0.75 else (0.05, 2.5)
        return Life(
            self.path,
            self.random.getrandbits(32),
            self.new_id,
            self.serial,
            self.random.uniform(shortest, longest),
            # A transaction is seen by its journal.
            self.mode == "delete" and self.random.random() < 0.3,
        )

    def check(self, death: Death, schema: Any) -> None:
        assert os.WTERMSIG(death.status) == signal.SIGKILL
        tried("kills")
        for left in ("journal", "wal"):
            path = self.path.with_name(f"{self.path.name}-{left}")
            tried(f"kills that left a {left}", path.exists() and path.stat().st_size > 0)
        self.check_key(death)
        content = dump(self.path)
        assert content["schema"] == schema
        self.check_rows(death, content)
        for told in death.told:
            self.new_id = max(self.new_id, told.first_id + told.count)
            self.serial = max(self.serial, told.serial + 1)

    def check_key(self, death: Death) -> None:
        """Ours or Telethon's is the first to see what the kill has left."""
        keys = [self.key]
        for told in death.told:
            if told.what == KEY:
                keys = [key(told.serial).key] if told.is_done else [*keys, key(told.serial).key]
        for kind in self.random.sample([RustSQLiteSession, SQLiteSession], 2):
            session = kind(str(self.path))
            self.key = session.auth_key.key if session.auth_key else None
            session.close()
            assert self.key in keys, kind.__name__

    def check_rows(self, death: Death, content: dict[str, list[Any]]) -> None:
        """Each is as it was last when it had to be on disk, or newer."""
        beats = Beats(death)
        before = self.rows
        self.rows = {("entity", id): (hash, username, name) for id, hash, username, _, name, _ in content["entities"]}
        self.rows |= {("state", id): pts for id, pts, *_ in content["update_state"]}
        may_be = {row: [value] for row, value in before.items()}
        had_to_be = set()
        for told in death.told:
            if told.what not in (ENTITIES, STATE):
                continue
            is_due = told.is_done and beats.is_due(told.at)
            for row, value in values_of(told).items():
                if is_due:
                    may_be[row] = [value]
                    had_to_be.add(row)
                elif not told.is_done:
                    may_be.setdefault(row, [None]).append(value)
        tried("rows that a kill had to leave", len(had_to_be))
        found = {row: (self.rows.get(row), may_be.get(row)) for row in self.rows.keys() | may_be.keys()}
        assert {row: (is_now, may) for row, (is_now, may) in found.items() if is_now not in (may or ())} == {}


@pytest.fixture
def schema() -> Any:
    SQLiteSession("theirs").close()
    return dump("theirs.session")["schema"]


def test_killed_at_any_moment(folder: Path, schema: Any) -> None:
    seed = Random().getrandbits(32)
    print(f"seed {seed}")
    random = Random(seed)
    with nurseries() as pipes:
        modes = dict(zip(pipes, cycle(("delete", "wal"))))
        files = {pipe: SessionFile(folder / f"anna{n}.session", random, modes[pipe]) for n, pipe in enumerate(pipes)}
        for pipe, file in files.items():
            pipe.send(file.life())
        for kill in range(1, KILLS + 1):
            pipe = wait(pipes)[0]
            files[pipe].check(pipe.recv(), schema)
            if kill <= KILLS - LANES:
                pipe.send(files[pipe].life())

"""Another process locks files for ten seconds while sessions use them in an event loop.

No call raises or blocks, all changes are on disk once the files are unlocked, and other files are
written meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest
from telethon.tl import types

from support import entities
from support.contents import STATE
from support.counters import tally
from support.files import on_disk
from support.programs import command
from support.sleep_clock import IS_SUPPORTED, Canaries, Sleep, measure_sleep, switches
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

SECONDS = 10
# The longest time, in seconds, that a step may sleep.
LIMIT = 0.020
# Sleeps of a thread in five seconds: at each attempt SQLite sleeps three times and the session
# once, 18 ms in all.
MAX_SLEEPS = 1600
# The number of entities in each file, and the first ID of those received meanwhile.
PEOPLE, FIRST = {"full": 20_000, "reading": 300_000}, 10**6


class Locker:
    """A process that locks the given files and `theirs.session`."""

    def __init__(self, paths: list[str]) -> None:
        pipe = subprocess.PIPE
        self.program = subprocess.Popen(command("lock_files", *paths), stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Locker:
        assert self.program.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.program.communicate()

    def lock(self) -> None:
        print(file=self.program.stdin, flush=True)
        assert self.program.stdout.readline() == "locked\n"

    def release(self) -> None:
        assert self.program.poll() is None
        self.program.communicate("\n")
        assert self.program.returncode == 0


class Client:
    """Uses a session as a client does in its event loop, and measures how long each step slept."""

    def __init__(self, name: str) -> None:
        self.session = RustSQLiteSession(name)
        self.path = f"{name}.session"
        self.received = 0
        self.sleeps: dict[str, list[Sleep]] = defaultdict(list)

    async def run(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.run_round()
            await asyncio.sleep(0.02)

    def run_round(self) -> None:
        session = self.session
        ids = range(FIRST + self.received, FIRST + self.received + 10)
        page = [entities.user(id, 5, username=f"new_{id}", phone=f"7{id:010}", first_name=f"New {id}") for id in ids]
        self.step("receive", lambda: session.process_entities(page))
        self.received += len(page)
        for key in (page[-1].id, page[0].username, f"new_{FIRST}", f"+7{page[0].id:010}", page[0].first_name):
            found = self.step("look up a known entity", lambda key=key: session.get_input_entity(key))
            assert found.access_hash == 5
        for key in (10**9, -5, "unknown", "+7 000", "Not Known", "old_7", 7, "Old 7"):
            self.step(f"look up {key}", lambda key=key: self.try_lookup(key))
        self.step("set a state", lambda: session.set_update_state(self.received, STATE))
        assert self.step("get a state", lambda: session.get_update_state(self.received)).pts == STATE.pts
        file = types.InputDocument(1, 2, b"")
        self.step("cache a file", lambda: session.cache_file(self.received.to_bytes(16, "big"), 1, file))
        self.step("save", session.save)

    def step(self, name: str, call: Callable[[], Any]) -> Any:
        with measure_sleep(self.sleeps[name]):
            return call()

    def try_lookup(self, key: Any) -> None:
        with suppress(ValueError):
            self.session.get_input_entity(key)

    async def check_all_is_on_disk(self) -> None:
        await self.session.flush()
        ids = {row[0] for row in on_disk(path=self.path)}
        assert set(range(FIRST, FIRST + self.received)) <= ids
        assert len(on_disk("update_state", self.path)) == len(on_disk("sent_files", self.path)) == self.received // 10


def create_files() -> None:
    for name in ("new", "wal", "theirs", *PEOPLE):
        RustSQLiteSession(name).close()
    with closing(sqlite3.connect("wal.session")) as file:
        file.execute("pragma journal_mode = wal")
    for name, count in PEOPLE.items():
        with closing(sqlite3.connect(f"{name}.session")) as file, file:
            rows = ((id, 4, f"old_{id}", None, f"Old {id}", 1) for id in range(1, count + 1))
            file.executemany("insert into entities values (?, ?, ?, ?, ?, ?)", rows)


async def test_files_are_locked() -> None:
    create_files()
    clients = {name: Client(name) for name in ("new", "wal", "theirs", "full")}
    await asyncio.to_thread(until, lambda: all(client.session._is_loaded() for client in clients.values()))
    locked = [f"{name}.session" for name in ("new", "wal", *PEOPLE)]
    with Canaries() as canaries, Locker(locked) as locker:
        # This file is locked before it has been read.
        clients["reading"] = Client("reading")
        locker.lock()
        await asyncio.gather(*(client.run() for client in clients.values()), check_other_files_are_written())
        assert not clients["reading"].session._is_loaded()
        locker.release()
    for client in clients.values():
        await client.check_all_is_on_disk()
    assert len([row for row in on_disk(path="theirs.session") if row[0] < FIRST]) == 100
    tally("locked files", len(clients))
    longest = {
        (name, step): max(map(canaries.own_seconds, sleeps))
        for name, client in clients.items()
        for step, sleeps in client.sleeps.items()
    }
    assert not IS_SUPPORTED or {step: time for step, time in longest.items() if time > LIMIT} == {}


async def check_other_files_are_written() -> None:
    """A locked file does not delay the files of other sessions."""
    other = RustSQLiteSession("other")
    other.process_entities(entities.crowd(100))
    await asyncio.to_thread(until, lambda: len(on_disk(path="other.session")) == 100)


def test_outside_a_loop_a_lookup_waits_for_the_file() -> None:
    """An entity in the file must not be reported as unknown, and no event loop is blocked. Telethon
    waits too.
    """
    create_files()
    with Locker(["reading.session"]) as locker:
        session = RustSQLiteSession("reading")
        locker.lock()
        timer = threading.Timer(0.5, locker.release)
        timer.start()
        try:
            assert session.get_input_entity("old_299000") == types.InputPeerUser(299_000, 4)
        finally:
            timer.join()


def test_outside_a_loop_a_lookup_waits_only_once() -> None:
    """A text can be a username or a name, but the lookup waits only once."""
    create_files()
    with Locker(["reading.session"]) as locker:
        session = RustSQLiteSession("reading")
        locker.lock()
        begin, switches_before = time.monotonic(), switches() if IS_SUPPORTED else 0
        with pytest.raises(ValueError):
            session.get_input_entity("unknown")
        assert time.monotonic() - begin > 4.9
        # A slow machine makes fewer attempts in these seconds; only a second wait could make more.
        assert not IS_SUPPORTED or switches() - switches_before < MAX_SLEEPS
        locker.release()

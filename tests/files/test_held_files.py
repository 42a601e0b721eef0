"""Files that another program holds for ten seconds, while ours live on in an event loop: nothing is raised, no step is
held up, all of it is on disk once the file is free, and other files are written meanwhile.
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
from support.counters import tried
from support.files import on_disk
from support.programs import command
from support.sleep_clock import CAN_TELL, Canaries, Sleep, asleep, switches
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

SECONDS = 10
# For which no step may be asleep.
LIMIT = 0.020
# Of a thread in five seconds: at each attempt SQLite sleeps three times and the session once, 18 ms in all.
MOST_SLEEPS = 1600
# Of people in the files, and where the ids begin of those who are received meanwhile.
PEOPLE, FIRST = {"full": 20_000, "reading": 300_000}, 10**6


class Holder:
    """The program that holds files, and `theirs.session`."""

    def __init__(self, paths: list[str]) -> None:
        pipe = subprocess.PIPE
        self.program = subprocess.Popen(command("hold_many", *paths), stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Holder:
        assert self.program.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.program.communicate()

    def hold(self) -> None:
        print(file=self.program.stdin, flush=True)
        assert self.program.stdout.readline() == "held\n"

    def let_go(self) -> None:
        assert self.program.poll() is None
        self.program.communicate("\n")
        assert self.program.returncode == 0


class Steps:
    """What a client's session does in its event loop, and for how long each step was asleep."""

    def __init__(self, name: str) -> None:
        self.session = RustSQLiteSession(name)
        self.path = f"{name}.session"
        self.taken = 0
        self.sleeps: dict[str, list[Sleep]] = defaultdict(list)

    async def go_on(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.turn()
            await asyncio.sleep(0.02)

    def turn(self) -> None:
        session = self.session
        ids = range(FIRST + self.taken, FIRST + self.taken + 10)
        page = [entities.user(id, 5, username=f"new_{id}", phone=f"7{id:010}", first_name=f"New {id}") for id in ids]
        self.step("take", lambda: session.process_entities(page))
        self.taken += len(page)
        for key in (page[-1].id, page[0].username, f"new_{FIRST}", f"+7{page[0].id:010}", page[0].first_name):
            found = self.step("look up somebody", lambda key=key: session.get_input_entity(key))
            assert found.access_hash == 5
        for key in (10**9, -5, "nobody", "+7 000", "No Body", "old_7", 7, "Old 7"):
            self.step(f"look up {key}", lambda key=key: self.may_find(key))
        self.step("set a state", lambda: session.set_update_state(self.taken, STATE))
        assert self.step("get a state", lambda: session.get_update_state(self.taken)).pts == STATE.pts
        file = types.InputDocument(1, 2, b"")
        self.step("keep a file", lambda: session.cache_file(self.taken.to_bytes(16, "big"), 1, file))
        self.step("save", session.save)

    def step(self, name: str, call: Callable[[], Any]) -> Any:
        with asleep(self.sleeps[name]):
            return call()

    def may_find(self, key: Any) -> None:
        with suppress(ValueError):
            self.session.get_input_entity(key)

    async def check_all_is_on_disk(self) -> None:
        await self.session.flush()
        ids = {row[0] for row in on_disk(path=self.path)}
        assert set(range(FIRST, FIRST + self.taken)) <= ids
        assert len(on_disk("update_state", self.path)) == len(on_disk("sent_files", self.path)) == self.taken // 10


def make_files() -> None:
    for name in ("new", "wal", "theirs", *PEOPLE):
        RustSQLiteSession(name).close()
    with closing(sqlite3.connect("wal.session")) as file:
        file.execute("pragma journal_mode = wal")
    for name, count in PEOPLE.items():
        with closing(sqlite3.connect(f"{name}.session")) as file, file:
            people = ((id, 4, f"old_{id}", None, f"Old {id}", 1) for id in range(1, count + 1))
            file.executemany("insert into entities values (?, ?, ?, ?, ?, ?)", people)


async def test_files_are_held() -> None:
    make_files()
    lives = {name: Steps(name) for name in ("new", "wal", "theirs", "full")}
    await asyncio.to_thread(until, lambda: all(steps.session._is_loaded() for steps in lives.values()))
    held = [f"{name}.session" for name in ("new", "wal", *PEOPLE)]
    with Canaries() as canaries, Holder(held) as holder:
        # It has not been read when it is locked.
        lives["reading"] = Steps("reading")
        holder.hold()
        await asyncio.gather(*(steps.go_on() for steps in lives.values()), check_others_are_written())
        assert not lives["reading"].session._is_loaded()
        holder.let_go()
    for steps in lives.values():
        await steps.check_all_is_on_disk()
    assert len([row for row in on_disk(path="theirs.session") if row[0] < FIRST]) == 100
    tried("crowded files", len(lives))
    worst = {
        (name, step): max(map(canaries.own, sleeps))
        for name, steps in lives.items()
        for step, sleeps in steps.sleeps.items()
    }
    assert not CAN_TELL or {step: time for step, time in worst.items() if time > LIMIT} == {}


async def check_others_are_written() -> None:
    """While a file is held, those of other sessions are not."""
    other = RustSQLiteSession("other")
    other.process_entities(entities.crowd(100))
    await asyncio.to_thread(until, lambda: len(on_disk(path="other.session")) == 100)


def test_outside_a_loop_a_lookup_waits_for_the_file() -> None:
    """Nobody is held up there, and who is in the file is not said to be unknown; Telethon waits too."""
    make_files()
    with Holder(["reading.session"]) as holder:
        session = RustSQLiteSession("reading")
        holder.hold()
        letting_go = threading.Timer(0.5, holder.let_go)
        letting_go.start()
        try:
            assert session.get_input_entity("old_299000") == types.InputPeerUser(299_000, 4)
        finally:
            letting_go.join()


def test_outside_a_loop_it_is_waited_for_once() -> None:
    """However many things a text may be: username and name."""
    make_files()
    with Holder(["reading.session"]) as holder:
        session = RustSQLiteSession("reading")
        holder.hold()
        begun, asleep_before = time.monotonic(), switches() if CAN_TELL else 0
        with pytest.raises(ValueError):
            session.get_input_entity("nobody")
        assert time.monotonic() - begun > 4.9
        # A slow machine makes fewer attempts in these seconds; only a second wait could make more.
        assert not CAN_TELL or switches() - asleep_before < MOST_SLEEPS
        holder.let_go()

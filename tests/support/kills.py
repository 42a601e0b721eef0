"""A program that uses a session under load and reports what it does, until it is killed with
SIGKILL.

A spawner process has all modules imported and forks one such program after the other, which makes a
kill cheap.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, NamedTuple

from telethon.crypto import AuthKey
from telethon.tl import TLObject, types

from support import entities
from telethon_session_rust import RustSQLiteSession

# Kinds of events. A key is done when `save()` has returned, anything else when the call that set it
# has.
ENTITIES, STATE, KEY, HEARTBEAT = b"E", b"U", b"K", b"."
# Seconds between two heartbeats, if nothing delays them.
HEARTBEAT_INTERVAL = 0.01
# Small enough for an atomic write to a pipe.
RECORD = struct.Struct("=c?dqqq")
# After waiting this long for a transaction, the spawner kills the program without one. No test
# depends on it.
TIMEOUT = 60


class Event(NamedTuple):
    """Reported before each action, and again when it is done."""

    what: bytes
    is_done: bool
    # By `time.monotonic()`.
    at: float
    first_id: int
    count: int
    serial: int


class Plan(NamedTuple):
    """How a program runs, and when it is killed."""

    path: Path
    seed: int
    # The lowest ID that the file does not contain yet.
    new_id: int
    # The number of the first change. Later changes have higher numbers.
    serial: int
    seconds: float
    # If true, the kill waits for the next transaction after that time.
    in_transaction: bool


class Death(NamedTuple):
    events: list[Event]
    at: float
    status: int


def entity(id: int, serial: int) -> TLObject:
    """Returns an entity whose access hash, username and name depend on the serial number, and its
    type on the ID.
    """
    access_hash = id * 104729 - serial
    if id % 7 == 0:
        return entities.chat(id, f"Группа {serial}")
    if id % 5 == 0:
        return entities.channel(id, access_hash, f"Channel {serial}", username=f"Channel_{id}_{serial}")
    return entities.user(id, access_hash, username=f"User_{id}_{serial}", first_name=f"Анна {serial}", phone=f"7{id}")


def batch(first_id: int, count: int, serial: int) -> list[TLObject]:
    return [entity(id, serial) for id in range(first_id, first_id + count)]


def state(serial: int) -> types.updates.State:
    return types.updates.State(serial, 1, entities.DATE, 1, 0)


def key(serial: int) -> AuthKey:
    return AuthKey(hashlib.sha512(b"%d" % serial).digest() * 4)


Report = Callable[..., None]


def _use(session: Any, plan: Plan, random: Random, report: Report) -> Iterator[float]:
    """Uses a session forever, and yields how long to pause."""
    new_id = plan.new_id
    # A program that never calls `save()` leaves all writing to the writer thread.
    saves = random.choice((0, 0.01, 0.1))
    for serial in count(plan.serial):
        length = random.choice((1, 5, 20, 100))
        is_new = new_id == 1 or random.random() < 0.15
        first_id = new_id if is_new else random.randrange(1, new_id)
        new_id = max(new_id, first_id + length)
        event = (ENTITIES, first_id, length, serial)
        report(*event)
        session.process_entities(batch(first_id, length, serial))
        report(*event, is_done=True)
        if random.random() < 0.3:
            event = (STATE, random.randrange(4), 1, serial)
            report(*event)
            session.set_update_state(event[1], state(serial))
            report(*event, is_done=True)
        if random.random() < saves:
            event = (KEY, 0, 1, serial)
            report(*event)
            session.auth_key = key(serial)
            session.save()
            report(*event, is_done=True)
        yield random.random() * 0.02


def _send_heartbeats(path: Path, report: Report) -> None:
    """Reports regularly that the machine, its disk and this process are running."""
    if hasattr(os, "SCHED_BATCH"):
        # The session's writer thread has the same scheduling policy.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    disk = os.open(path, os.O_CREAT | os.O_WRONLY)
    for number in count():
        report(HEARTBEAT, 0, 0, number)
        time.sleep(HEARTBEAT_INTERVAL)
        if number % 5 == 0:
            os.pwrite(disk, b"%20d" % number, 0)
            os.fsync(disk)


def _run(plan: Plan, pipe: int) -> None:
    def report(what: bytes, first_id: int, count: int, serial: int, is_done: bool = False) -> None:
        os.write(pipe, RECORD.pack(what, is_done, time.monotonic(), first_id, count, serial))

    random = Random(plan.seed)
    session = RustSQLiteSession(plan.path)
    Thread(target=_send_heartbeats, args=(plan.path.with_suffix(".beat"), report), daemon=True).start()
    pauses = _use(session, plan, random, report)

    async def run_in_loop() -> None:
        for seconds in pauses:
            await asyncio.sleep(seconds)

    if random.random() < 0.5:
        asyncio.run(run_in_loop())
    for seconds in pauses:
        time.sleep(seconds)


def _run_and_kill(plan: Plan) -> Death:
    started_at = time.monotonic()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _run(plan, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    records = bytearray()

    def read_events(until: float) -> bool:
        """Reads events until a deadline. Returns `False` at the end of the pipe."""
        is_ready, *_ = select.select([reading], [], [], max(0, until - time.monotonic()))
        data = os.read(reading, 2**16) if is_ready else None
        records.extend(data or b"")
        return data != b""

    deadline = started_at + plan.seconds
    while time.monotonic() < deadline and read_events(deadline):
        pass
    if plan.in_transaction:
        journal = f"{plan.path}-journal"
        while not os.path.exists(journal) and time.monotonic() < deadline + TIMEOUT and read_events(0):  # noqa: PTH110
            pass
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while read_events(at + TIMEOUT):
        pass
    os.close(reading)
    return Death([Event(*event) for event in RECORD.iter_unpack(records)], at, os.waitpid(pid, 0)[1])


def spawner(requests: Connection) -> None:
    """Answers each `Plan` with a `Death`, until the connection is closed."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            requests.send(_run_and_kill(requests.recv()))

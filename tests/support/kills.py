"""A program that uses a session under load and tells what it does, until it is killed with SIGKILL.

A nursery has everything imported and forks one such program after the other, so that a kill costs little more than the
life before it.
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

# What is told of; a key is done when its `save()` has returned, anything else when the call that gave it has.
ENTITIES, STATE, KEY, BEAT = b"E", b"U", b"K", b"."
# Seconds from one beat to the next, if nothing holds it up.
BEAT_EVERY = 0.01
# Small enough to be written to a pipe whole or not at all.
RECORD = struct.Struct("=c?dqqq")
# A nursery that has waited so long for a transaction kills without one. No test ends this way.
PATIENCE = 60


class Told(NamedTuple):
    """Said just before something is done, and again when it is."""

    what: bytes
    is_done: bool
    # By `time.monotonic()`.
    at: float
    first_id: int
    count: int
    serial: int


class Life(NamedTuple):
    """How a program shall live and die."""

    path: Path
    seed: int
    # Whoever has this id, or a higher one, is not known yet.
    new_id: int
    # Whatever is given has a higher number than what was given before.
    serial: int
    seconds: float
    # Whether it is killed when the next transaction is seen after that time.
    in_transaction: bool


class Death(NamedTuple):
    told: list[Told]
    at: float
    status: int


def somebody(id: int, serial: int) -> TLObject:
    """Another hash, username and name with each serial number; who is what never changes."""
    access_hash = id * 104729 - serial
    if id % 7 == 0:
        return entities.chat(id, f"Группа {serial}")
    if id % 5 == 0:
        return entities.channel(id, access_hash, f"Channel {serial}", username=f"Channel_{id}_{serial}")
    return entities.user(id, access_hash, username=f"User_{id}_{serial}", first_name=f"Анна {serial}", phone=f"7{id}")


def page(first_id: int, count: int, serial: int) -> list[TLObject]:
    return [somebody(id, serial) for id in range(first_id, first_id + count)]


def state(serial: int) -> types.updates.State:
    return types.updates.State(serial, 1, entities.DATE, 1, 0)


def key(serial: int) -> AuthKey:
    return AuthKey(hashlib.sha512(b"%d" % serial).digest() * 4)


Tell = Callable[..., None]


def _use(session: Any, life: Life, random: Random, tell: Tell) -> Iterator[float]:
    """Uses a session for ever; yields how long to rest."""
    new_id = life.new_id
    # Whoever never saves leaves all to the writer; a `save()` would write everything early.
    saves = random.choice((0, 0.01, 0.1))
    for serial in count(life.serial):
        length = random.choice((1, 5, 20, 100))
        is_new = new_id == 1 or random.random() < 0.15
        first_id = new_id if is_new else random.randrange(1, new_id)
        new_id = max(new_id, first_id + length)
        told = (ENTITIES, first_id, length, serial)
        tell(*told)
        session.process_entities(page(first_id, length, serial))
        tell(*told, is_done=True)
        if random.random() < 0.3:
            told = (STATE, random.randrange(4), 1, serial)
            tell(*told)
            session.set_update_state(told[1], state(serial))
            tell(*told, is_done=True)
        if random.random() < saves:
            told = (KEY, 0, 1, serial)
            tell(*told)
            session.auth_key = key(serial)
            session.save()
            tell(*told, is_done=True)
        yield random.random() * 0.02


def _beat(path: Path, tell: Tell) -> None:
    """Says every now and then that the machine, its disk and this process go on."""
    if hasattr(os, "SCHED_BATCH"):
        # The session's thread does not push in either.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    disk = os.open(path, os.O_CREAT | os.O_WRONLY)
    for beat in count():
        tell(BEAT, 0, 0, beat)
        time.sleep(BEAT_EVERY)
        if beat % 5 == 0:
            os.pwrite(disk, b"%20d" % beat, 0)
            os.fsync(disk)


def _live(life: Life, pipe: int) -> None:
    def tell(what: bytes, first_id: int, count: int, serial: int, is_done: bool = False) -> None:
        os.write(pipe, RECORD.pack(what, is_done, time.monotonic(), first_id, count, serial))

    random = Random(life.seed)
    session = RustSQLiteSession(life.path)
    Thread(target=_beat, args=(life.path.with_suffix(".beat"), tell), daemon=True).start()
    rests = _use(session, life, random, tell)

    async def live_in_a_loop() -> None:
        for seconds in rests:
            await asyncio.sleep(seconds)

    if random.random() < 0.5:
        asyncio.run(live_in_a_loop())
    for seconds in rests:
        time.sleep(seconds)


def _live_and_die(life: Life) -> Death:
    begun = time.monotonic()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _live(life, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    told = bytearray()

    def listen(until: float) -> bool:
        """Answers whether there may be more to hear."""
        is_ready, *_ = select.select([reading], [], [], max(0, until - time.monotonic()))
        heard = os.read(reading, 2**16) if is_ready else None
        told.extend(heard or b"")
        return heard != b""

    deadline = begun + life.seconds
    while time.monotonic() < deadline and listen(deadline):
        pass
    if life.in_transaction:
        journal = f"{life.path}-journal"
        while not os.path.exists(journal) and time.monotonic() < deadline + PATIENCE and listen(0):  # noqa: PTH110
            pass
    at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while listen(at + PATIENCE):
        pass
    os.close(reading)
    return Death([Told(*told) for told in RECORD.iter_unpack(told)], at, os.waitpid(pid, 0)[1])


def nursery(requests: Connection) -> None:
    """Answers each `Life` with a `Death`, until nobody asks any more."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            requests.send(_live_and_die(requests.recv()))

"""One of several processes that use one session file at once; `test_crowded_files.py` starts them.

Each tells of people of its own and of some that all tell of, and looks up everybody when all are done.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from telethon_session_rust import RustSQLiteSession

ROUNDS = 60
OWN, SHARED = 10, 10
# The ids of the processes' own people; those that all know come before.
FIRST = 1000


def everybody(number: int) -> list[types.User]:
    begin = FIRST * (number + 1)
    return [
        entities.user(id, id * 7, username=f"own_{id}", phone=f"7{id:010}", first_name=f"Own {id}")
        for id in range(begin, begin + ROUNDS * OWN)
    ]


def shared(number: int) -> list[types.User]:
    return [entities.user(id, number + 1, username=f"shared_{id}") for id in range(1, SHARED + 1)]


def key_of(number: int) -> AuthKey:
    return AuthKey(bytes([number + 1]) * 256)


def turns(session: Any, number: int) -> Iterator[Callable[[], Any]]:
    """What it does, call by call."""
    own = everybody(number)
    for turn in range(ROUNDS):
        state = types.updates.State(turn, 1, entities.DATE, 1, 0)
        file = types.InputDocument(number, turn, b"")
        page = [*own[turn * OWN : turn * OWN + OWN], *shared(number)]
        yield lambda page=page: session.process_entities(page)
        yield lambda state=state: session.set_update_state(number, state)
        yield lambda file=file, turn=turn: session.cache_file(bytes([number, turn]) * 8, turn, file)
        if turn % 10 == 5:
            yield lambda: setattr(session, "auth_key", key_of(number))
        yield session.save


def live_as_telethon(session: Any, number: int) -> int:
    """Its transaction is open from the first change to `save()`; then others have the file as long again. What the lock
    keeps it from it tries again, and it answers how often.
    """
    retries = 0
    begun = time.monotonic()
    for call in turns(session, number):
        while True:
            try:
                call()
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                retries += 1
        if call == session.save:
            time.sleep(0.005 + time.monotonic() - begun)
            begun = time.monotonic()
    return retries


def live(session: Any, number: int) -> int:
    for call in turns(session, number):
        call()
    return 0


async def live_in_a_loop(session: Any, number: int) -> int:
    for call in turns(session, number):
        call()
        await asyncio.sleep(0.001)
    await session.flush()
    return 0


LIVES: dict[str, Callable[[Any, int], int]] = {
    "telethon": live_as_telethon,
    "ours": live,
    "ours in a loop": lambda session, number: asyncio.run(live_in_a_loop(session, number)),
}


def main(kind: str, number: int, count: int) -> None:
    session = (SQLiteSession if kind == "telethon" else RustSQLiteSession)("anna")
    print(json.dumps("open"), flush=True)
    sys.stdin.readline()
    print(json.dumps(LIVES[kind](session, number)), flush=True)
    sys.stdin.readline()
    people = [one for other in range(count) for one in everybody(other)]
    missing = []
    for one in people:
        try:
            assert session.get_input_entity(one.username).access_hash == one.access_hash
        except ValueError:
            missing.append(one.username)
    print(json.dumps(missing), flush=True)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

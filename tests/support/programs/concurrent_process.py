"""One of several processes that use one session file at once; `test_concurrent_processes.py` starts
them.

Each adds its own entities and some shared ones, and looks up all entities when all processes are
done.
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
from support.waiting import TIMEOUT
from telethon_session_rust import RustSQLiteSession

ROUNDS = 60
OWN, SHARED = 10, 10
# The first ID of the processes' own entities. Shared entities have lower IDs.
FIRST = 1000


def own_entities(number: int) -> list[types.User]:
    first = FIRST * (number + 1)
    return [
        entities.user(id, id * 7, username=f"own_{id}", phone=f"7{id:010}", first_name=f"Own {id}")
        for id in range(first, first + ROUNDS * OWN)
    ]


def shared_entities(number: int) -> list[types.User]:
    return [entities.user(id, number + 1, username=f"shared_{id}") for id in range(1, SHARED + 1)]


def key_of(number: int) -> AuthKey:
    return AuthKey(bytes([number + 1]) * 256)


def calls(session: Any, number: int) -> Iterator[Callable[[], Any]]:
    """Yields the calls that the process makes."""
    own = own_entities(number)
    for n in range(ROUNDS):
        state = types.updates.State(n, 1, entities.DATE, 1, 0)
        file = types.InputDocument(number, n, b"")
        page = [*own[n * OWN : n * OWN + OWN], *shared_entities(number)]
        yield lambda page=page: session.process_entities(page)
        yield lambda state=state: session.set_update_state(number, state)
        yield lambda file=file, n=n: session.cache_file(bytes([number, n]) * 8, n, file)
        if n % 10 == 5:
            yield lambda: setattr(session, "auth_key", key_of(number))
        yield session.save


def use_as_telethon(session: Any, number: int) -> int:
    """Uses Telethon's session, retrying calls while the file is locked. Returns the number of
    retries.

    Telethon's transaction is open from the first change to `save()`. Afterwards it pauses for as
    long again, so that other processes can use the file.
    """
    retries = 0
    started_at = time.monotonic()
    for call in calls(session, number):
        while True:
            try:
                call()
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                retries += 1
        if call == session.save:
            time.sleep(0.005 + time.monotonic() - started_at)
            started_at = time.monotonic()
    return retries


def use(session: Any, number: int) -> int:
    for call in calls(session, number):
        call()
    return 0


async def use_in_loop(session: Any, number: int) -> int:
    for call in calls(session, number):
        call()
        await asyncio.sleep(0.001)
    await session.flush()
    return 0


USES: dict[str, Callable[[Any, int], int]] = {
    "telethon": use_as_telethon,
    "ours": use,
    "ours in a loop": lambda session, number: asyncio.run(use_in_loop(session, number)),
}


def main(kind: str, number: int, count: int) -> None:
    # SQLite does not let those that wait take turns. On a busy machine the default of five seconds
    # can be too short for one of eight.
    session = SQLiteSession("anna") if kind == "telethon" else RustSQLiteSession("anna", timeout=TIMEOUT)
    print(json.dumps("open"), flush=True)
    sys.stdin.readline()
    print(json.dumps(USES[kind](session, number)), flush=True)
    sys.stdin.readline()
    expected = [user for other in range(count) for user in own_entities(other)]
    missing = []
    for user in expected:
        try:
            assert session.get_input_entity(user.username).access_hash == user.access_hash
        except ValueError:
            missing.append(user.username)
    print(json.dumps(missing), flush=True)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Programs that fork often while their threads use a session; `test_forks_under_load.py` runs them.

`python -m support.programs.forks_under_load SCENARIO`. If it hangs, it prints a traceback of each
thread and exits.
"""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any

from telethon.tl import types

from support import entities
from support.forks import TIMEOUT, in_a_child
from telethon_session_rust import RustSQLiteSession

FORKS = 48
CROWD = entities.crowd(2000)
BATCHES = [CROWD[at : at + 20] for at in range(0, len(CROWD), 20)]
SESSIONS: list[Any] = []


async def flush(session: Any) -> None:
    for _ in range(3):
        await session.flush()


def look_up(session: Any) -> None:
    for key in ("user1", 2, "unknown"):
        with suppress(ValueError):
            session.get_input_entity(key)


def update(session: Any) -> None:
    session.set_update_state(0, types.updates.State(1, 1, entities.DATE, 1, 0))
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))


@contextmanager
def load() -> Iterator[None]:
    """Uses a session in six threads within a `with` block. The session contains the whole crowd at
    the end.
    """
    session, is_over, batches = RustSQLiteSession("anna"), threading.Event(), cycle(BATCHES)
    SESSIONS.append(session)
    session.process_entities(CROWD)
    uses: list[Callable[[], Any]] = [
        lambda: session.process_entities(next(batches)),
        lambda: session.save(),
        lambda: asyncio.run(flush(session)),
        lambda: look_up(session),
        lambda: update(session),
        lambda: RustSQLiteSession("bert").close(),
    ]

    def repeat(use: Callable[[], Any]) -> None:
        while not is_over.is_set():
            use()

    with ThreadPoolExecutor(len(uses)) as threads:
        results = [threads.submit(repeat, use) for use in uses]
        try:
            yield
        finally:
            is_over.set()
        for result in results:
            result.result()
    session.close()


def restart_watchdog() -> None:
    """Restarts the parent's watchdog. A hanging child is noticed earlier, by the parent's timeout."""
    faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True)


def use_in_child(n: int) -> int:
    """Uses the parent's session in a child."""
    (session,) = SESSIONS
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    session.process_entities([entities.user(10**6 + n, n)])
    assert session.get_input_entity(10**6 + n) == types.InputPeerUser(10**6 + n, n)
    (session.save, session.close, lambda: asyncio.run(flush(session)))[n % 3]()
    return n


def one_thread() -> None:
    for n in range(FORKS):
        restart_watchdog()
        in_a_child(partial(use_in_child, n))


def two_threads() -> None:
    with ThreadPoolExecutor(2) as threads:
        for result in [threads.submit(in_a_child, partial(use_in_child, n)) for n in range(FORKS)]:
            restart_watchdog()
            result.result()


def pools() -> None:
    for first in range(0, FORKS, 4):
        restart_watchdog()
        with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
            numbers = range(first, first + 4)
            assert list(pool.map(use_in_child, numbers)) == list(numbers)


if __name__ == "__main__":
    restart_watchdog()
    with load():
        globals()[sys.argv[1]]()

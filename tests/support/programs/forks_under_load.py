"""Programs that fork often while their threads use a session as hard as they can: `python forks_under_load.py WAY`, for
`test_forks_under_load.py`. One that hangs says where each thread is, and ends.
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
from support.forks import PATIENCE, in_a_child
from telethon_session_rust import RustSQLiteSession

FORKS = 48
CROWD = entities.crowd(2000)
PAGES = [CROWD[at : at + 20] for at in range(0, len(CROWD), 20)]
SESSIONS: list[Any] = []


async def flush(session: Any) -> None:
    for _ in range(3):
        await session.flush()


def look(session: Any) -> None:
    for key in ("user1", 2, "nobody"):
        with suppress(ValueError):
            session.get_input_entity(key)


def update(session: Any) -> None:
    session.set_update_state(0, types.updates.State(1, 1, entities.DATE, 1, 0))
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))


@contextmanager
def load() -> Iterator[None]:
    """A session that six threads use, and that has the whole crowd at the end."""
    session, is_over, pages = RustSQLiteSession("anna"), threading.Event(), cycle(PAGES)
    SESSIONS.append(session)
    session.process_entities(CROWD)
    uses: list[Callable[[], Any]] = [
        lambda: session.process_entities(next(pages)),
        lambda: session.save(),
        lambda: asyncio.run(flush(session)),
        lambda: look(session),
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


def is_alive() -> None:
    """Said by the parent only: a child has not the thread that listens. A child that hangs is noticed before."""
    faulthandler.dump_traceback_later(2 * PATIENCE, exit=True)


def live(n: int) -> int:
    """What a child does with its parent's session."""
    (session,) = SESSIONS
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    session.process_entities([entities.user(10**6 + n, n)])
    assert session.get_input_entity(10**6 + n) == types.InputPeerUser(10**6 + n, n)
    (session.save, session.close, lambda: asyncio.run(flush(session)))[n % 3]()
    return n


def one_thread() -> None:
    for n in range(FORKS):
        is_alive()
        in_a_child(partial(live, n))


def two_threads() -> None:
    with ThreadPoolExecutor(2) as threads:
        for result in [threads.submit(in_a_child, partial(live, n)) for n in range(FORKS)]:
            is_alive()
            result.result()


def pools() -> None:
    for first in range(0, FORKS, 4):
        is_alive()
        with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
            numbers = range(first, first + 4)
            assert list(pool.map(live, numbers)) == list(numbers)


if __name__ == "__main__":
    is_alive()
    with load():
        globals()[sys.argv[1]]()

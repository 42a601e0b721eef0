"""The session classes that are compared, and the conditions they share."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from telethon.sessions import MemorySession, SQLiteSession

from telethon_session_rust import RustMemorySession, RustSQLiteSession

T = TypeVar("T")
P = ParamSpec("P")

SESSIONS = (SQLiteSession, MemorySession, RustSQLiteSession, RustMemorySession)


def make(cls: type, path: Path) -> Any:
    """A session, new or in the file of this name."""
    return cls(str(path)) if issubclass(cls, SQLiteSession) else cls()


async def settle(session: Any) -> None:
    """Returns when everything is on disk, whichever way the class has for that in an event loop."""
    if isinstance(session, RustMemorySession):
        await session.flush()
    else:
        session.save()


def turns(sides: Sequence[T], number: int) -> Sequence[T]:
    """The sides in the order of this round: each comes first, and last, as often as the others."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage is collected, on any side: what it costs depends on what else the process holds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def in_child(call: Any, *args: Any) -> Any:
    """Calls it in a process of its own that is started afresh, for what the history of this one would disturb."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(call, *args).result()

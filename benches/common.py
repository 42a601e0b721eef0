"""The session classes that are compared, and what every benchmark does with them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from telethon.sessions import MemorySession, SQLiteSession

from telethon_session_rust import RustMemorySession, RustSQLiteSession, tl_reader

T = TypeVar("T")
P = ParamSpec("P")

SESSIONS = (SQLiteSession, MemorySession, RustSQLiteSession, RustMemorySession)


def make_session(cls: type, path: Path) -> Any:
    """Returns a session; one with a file creates or opens the file of this name."""
    return cls(str(path)) if issubclass(cls, SQLiteSession) else cls()


async def flush(session: Any) -> None:
    """Returns when everything is on disk, by the class's own means in an event loop."""
    if isinstance(session, RustMemorySession):
        await session.flush()
    else:
        session.save()


def rotated(sides: Sequence[T], round_number: int) -> Sequence[T]:
    """Returns the sides in the order of this round: each comes first, and last, equally often."""
    first = round_number % len(sides)
    return [*sides[first:], *sides[:first]]


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disables garbage collection, whose cost depends on what else the process holds."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def native_reader() -> Iterator[None]:
    """Reads what Telegram sends natively, as clients do after `install()`."""
    if not tl_reader.enable():
        raise RuntimeError("the native reader cannot be enabled; is TELETHON_SESSION_RUST_READER set?")
    try:
        yield
    finally:
        tl_reader.disable()


def in_subprocess(call: Any, *args: Any) -> Any:
    """Calls it in a new process, for figures that depend on what a process did before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(call, *args).result()

"""The memory that entities take once the objects they came in are gone."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import psutil
from telethon.sessions import MemorySession, SQLiteSession

from longest_page import SAVE_EVERY
from people import People
from report import Theme, bytes_each, faster, medians, within
from sides import SESSIONS, in_child, make, settle, turns
from stage import Stage
from telethon_session_rust import RustMemorySession, RustSQLiteSession


def measure(stage: Stage) -> Theme:
    scale, count = stage.scale, stage.scale.remembered
    taken: dict[type, list[float]] = {cls: [] for cls in SESSIONS}
    for number in range(scale.rounds_in_children):
        stage.say(f"memory: round {number + 1} of {scale.rounds_in_children}")
        # Nothing is timed here, so that two may go on at once.
        with stage.room() as room, ThreadPoolExecutor(2) as two:
            sides = turns(SESSIONS, number)
            paths = [room / cls.__name__ for cls in sides]
            found = two.map(lambda cls, path: in_child(memory_of, cls, path, stage.people, count), sides, paths)
            for cls, memory in zip(sides, found, strict=True):
                taken[cls].append(memory / count)
    of = {cls: median(found) for cls, found in taken.items()}
    what = f"{count:,} entities"
    return Theme(
        "Memory",
        "Resident memory per entity, before and after, each session in a process of its own, all on disk that belongs"
        f" there. {medians(scale.rounds_in_children)}",
        [
            within(f"{what}, in memory", of[RustMemorySession], 130, bytes_each, of[MemorySession]),
            faster(f"{what}, in memory", of[MemorySession], of[RustMemorySession], bytes_each, 3),
            within(f"{what}, in a file", of[RustSQLiteSession], 160, bytes_each, of[SQLiteSession]),
        ],
    )


def memory_of(cls: type, path: Path, people: People, count: int) -> int:
    """To be called in a process of its own."""
    numbers = people.pages_of(count)
    # The allocators keep some of what a page needed: let them have it before.
    for number in numbers[: len(numbers) // 10]:
        people.page(number)
    before = resident()

    async def fill() -> int:
        session = make(cls, path)
        for number in numbers:
            session.process_entities(people.page(number))
            if number % SAVE_EVERY == SAVE_EVERY - 1:
                session.save()
        await settle(session)
        after = resident()
        session.close()
        return after - before

    return asyncio.run(fill())


def resident() -> int:
    """Bytes, after all that is free is given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return psutil.Process().memory_info().rss

"""Resident memory per entity, after the received objects are freed."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import psutil
from telethon.sessions import MemorySession, SQLiteSession

from common import SESSIONS, flush, in_subprocess, make_session, rotated
from dataset import Dataset
from harness import Harness
from max_latency import SAVE_EVERY
from report import Section, at_most, bytes_each, medians, speedup
from telethon_session_rust import RustMemorySession, RustSQLiteSession


def measure(harness: Harness) -> Section:
    scale, count = harness.scale, harness.scale.cached
    sizes: dict[type, list[float]] = {cls: [] for cls in SESSIONS}
    for round_number in range(scale.rounds_in_subprocesses):
        harness.log(f"memory: round {round_number + 1} of {scale.rounds_in_subprocesses}")
        # Nothing is timed here, so two can run at once.
        with harness.temporary_folder() as folder, ThreadPoolExecutor(2) as executor:
            sides = rotated(SESSIONS, round_number)
            paths = [folder / cls.__name__ for cls in sides]
            found = executor.map(
                lambda cls, path: in_subprocess(memory_of, cls, path, harness.dataset, count), sides, paths
            )
            for cls, size in zip(sides, found, strict=True):
                sizes[cls].append(size / count)
    of = {cls: median(values) for cls, values in sizes.items()}
    what = f"{count:,} entities"
    return Section(
        "Memory",
        "Growth of resident memory per entity, each session in a process of its own, after everything is on disk that a"
        f" session stores there. {medians(scale.rounds_in_subprocesses)}",
        [
            at_most(f"{what}, in memory", of[RustMemorySession], 130, bytes_each, of[MemorySession]),
            speedup(f"{what}, in memory", of[MemorySession], of[RustMemorySession], bytes_each, 3),
            at_most(f"{what}, in a file", of[RustSQLiteSession], 160, bytes_each, of[SQLiteSession]),
        ],
    )


def memory_of(cls: type, path: Path, dataset: Dataset, count: int) -> int:
    """Returns the bytes by which the process grows. Call in a new process."""
    numbers = dataset.page_numbers(count)
    # Warm the allocators up, because they retain part of what parsing a page needs.
    for number in numbers[: len(numbers) // 10]:
        dataset.page(number)
    before = resident()

    async def fill() -> int:
        session = make_session(cls, path)
        for number in numbers:
            session.process_entities(dataset.page(number))
            if number % SAVE_EVERY == SAVE_EVERY - 1:
                session.save()
        await flush(session)
        after = resident()
        session.close()
        return after - before

    return asyncio.run(fill())


def resident() -> int:
    """Returns the resident bytes, after free memory is returned to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return psutil.Process().memory_info().rss

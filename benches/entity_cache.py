"""The client's own entity cache, which every update passes through: `extend`, and its memory."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from telethon._updates import EntityCache

from common import gc_disabled, in_subprocess, native_reader, rotated
from dataset import PAGE, Dataset
from harness import Harness
from memory import resident
from report import Row, Section, bytes_each, medians, seconds, speedup
from telethon_session_rust import RustEntityCache

CACHES = (EntityCache, RustEntityCache)
# About as many as an update brings.
FEW = 4

Times = dict[tuple[str, type], list[float]]


def measure(harness: Harness) -> Section:
    scale, times = harness.scale, defaultdict(list)
    for round_number in range(scale.rounds):
        harness.log(f"entity cache: round {round_number + 1} of {scale.rounds}")
        for cls in rotated(CACHES, round_number):
            with native_reader():
                measure_side(harness, cls, times)
    sizes: dict[type, list[float]] = {cls: [] for cls in CACHES}
    for round_number in range(scale.rounds_in_subprocesses):
        harness.log(f"entity cache, memory: round {round_number + 1} of {scale.rounds_in_subprocesses}")
        with ThreadPoolExecutor(2) as executor:
            sides = rotated(CACHES, round_number)
            found = executor.map(lambda cls: memory_of_one(harness, cls), sides)
            for cls, size in zip(sides, found, strict=True):
                sizes[cls].append(size)

    def row(what: str, target: float | None = None) -> Row:
        theirs, ours = (median(times[what, cls]) for cls in CACHES)
        return speedup(f"extend, {what}", theirs, ours, seconds, target)

    theirs, ours = (median(sizes[cls]) for cls in CACHES)
    return Section(
        "The client's own entity cache",
        f"Time per entity, for {scale.received:,} of them, each page read just before its call, as in a client,"
        " and natively, for both sides:"
        f" {PAGE} at once, or {FEW} as in an update. Then the memory of {scale.cached:,}, each cache in a new process."
        f" {medians(scale.rounds)}",
        [
            row(f"new, {PAGE} at once", 4),
            row(f"seen before, {PAGE} at once", 4),
            row(f"new, {FEW} at once", 4),
            row(f"seen before, {FEW} at once", 4),
            speedup(f"{scale.cached:,} entities", theirs, ours, bytes_each, 3),
        ],
    )


def measure_side(harness: Harness, cls: type, times: Times) -> None:
    count = harness.scale.received
    numbers = harness.dataset.page_numbers(count)
    for at_once in (PAGE, FEW):
        cache = cls()
        for case in ("new", "seen before"):
            with gc_disabled():
                elapsed = sum(timed(cache, split(harness.dataset.page(number), at_once)) for number in numbers)
            times[f"{case}, {at_once} at once", cls].append(elapsed / count)


def split(page: Any, at_once: int) -> list[tuple[list[Any], list[Any]]]:
    """Returns the users and chats of a page in parts of this size, each with both users and chats,
    as in updates.
    """
    count = max(1, (len(page.users) + len(page.chats)) // at_once)
    return [(page.users[part::count], page.chats[part::count]) for part in range(count)]


def timed(cache: Any, calls: list[tuple[list[Any], list[Any]]]) -> float:
    extend = cache.extend
    start = time.perf_counter()
    for users, chats in calls:
        extend(users, chats)
    return time.perf_counter() - start


def memory_of_one(harness: Harness, cls: type) -> float:
    return in_subprocess(memory_of, cls, harness.dataset, harness.scale.cached)


def memory_of(cls: type, dataset: Dataset, count: int) -> float:
    """Returns bytes per entity. Call in a new process."""
    numbers = dataset.page_numbers(count)
    for number in numbers[: len(numbers) // 10]:
        dataset.page(number)
    before = resident()
    cache = cls()
    for number in numbers:
        page = dataset.page(number)
        cache.extend(page.users, page.chats)
    del page
    return (resident() - before) / len(cache)

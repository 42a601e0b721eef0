"""The client's own entity cache, which every update goes through: `extend`, and the memory that it takes."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from telethon._updates import EntityCache

from memory import resident
from people import PAGE, People
from report import Theme, bytes_each, faster, medians, seconds
from sides import in_child, quiet, turns
from stage import Stage
from telethon_session_rust import RustEntityCache

CACHES = (EntityCache, RustEntityCache)
# An update brings about as many.
FEW = 4

Times = dict[tuple[str, type], list[float]]


def measure(stage: Stage) -> Theme:
    scale, times = stage.scale, defaultdict(list)
    for number in range(scale.rounds):
        stage.say(f"entity cache: round {number + 1} of {scale.rounds}")
        for cls in turns(CACHES, number):
            measure_side(stage, cls, times)
    taken: dict[type, list[float]] = {cls: [] for cls in CACHES}
    for number in range(scale.rounds_in_children):
        stage.say(f"entity cache, memory: round {number + 1} of {scale.rounds_in_children}")
        with ThreadPoolExecutor(2) as two:
            sides = turns(CACHES, number)
            for cls, memory in zip(sides, two.map(lambda cls: memory_of_one(stage, cls), sides), strict=True):
                taken[cls].append(memory)

    def row(what: str, reach: float | None = None) -> Any:
        theirs, ours = (median(times[what, cls]) for cls in CACHES)
        return faster(f"extend, {what}", theirs, ours, seconds, reach)

    memories = (median(taken[cls]) for cls in CACHES)
    return Theme(
        "The client's own entity cache",
        f"Time per entity, {scale.ingested:,} of them, each page read off the wire just before its call, as in a"
        f" client: {PAGE} at once, or {FEW} as an update brings them; then the memory of {scale.remembered:,}, each"
        f" cache in a process of its own. {medians(scale.rounds)}",
        [
            row(f"new, {PAGE} at once", 4),
            row(f"seen again, {PAGE} at once", 4),
            row(f"new, {FEW} at once", 4),
            row(f"seen again, {FEW} at once", 4),
            faster(f"{scale.remembered:,} entities", *memories, bytes_each, 3),
        ],
    )


def measure_side(stage: Stage, cls: type, times: Times) -> None:
    numbers, count = stage.people.pages_of(stage.scale.ingested), stage.scale.ingested
    for at_once in (PAGE, FEW):
        cache = cls()
        for when in ("new", "seen again"):
            with quiet():
                taken = sum(clocked(cache, parts(stage.people.page(number), at_once)) for number in numbers)
            times[f"{when}, {at_once} at once", cls].append(taken / count)


def parts(page: Any, at_once: int) -> list[tuple[list[Any], list[Any]]]:
    """The users and chats of a page, so many at once; as in updates, both are among the few."""
    count = max(1, (len(page.users) + len(page.chats)) // at_once)
    return [(page.users[part::count], page.chats[part::count]) for part in range(count)]


def clocked(cache: Any, calls: list[tuple[list[Any], list[Any]]]) -> float:
    extend = cache.extend
    begun = time.perf_counter()
    for users, chats in calls:
        extend(users, chats)
    return time.perf_counter() - begun


def memory_of_one(stage: Stage, cls: type) -> float:
    return in_child(memory_of, cls, stage.people, stage.scale.remembered)


def memory_of(cls: type, people: People, count: int) -> float:
    """Bytes per entity. To be called in a process of its own."""
    numbers = people.pages_of(count)
    for number in numbers[: len(numbers) // 10]:
        people.page(number)
    before = resident()
    cache = cls()
    for number in numbers:
        page = people.page(number)
        cache.extend(page.users, page.chats)
    del page
    return (resident() - before) / len(cache)

"""`save()` in the event loop: how long it keeps the other tasks waiting."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from statistics import median
from typing import Any

from telethon.sessions import SQLiteSession

from report import Theme, faster, medians, seconds, within
from sides import make, quiet, settle, turns
from stage import Stage
from telethon_session_rust import RustSQLiteSession


class Watcher:
    """A task that does nothing but take its turns, and notes how long it waited for the longest."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._is_over = False

    async def watch(self) -> None:
        last = time.perf_counter()
        while not self._is_over:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    async def during(self, call: Awaitable[None]) -> float:
        task = asyncio.create_task(self.watch())
        await asyncio.sleep(0.01)
        await call
        self._is_over = True
        await task
        return self.longest


async def save(session: Any) -> None:
    session.save()
    await settle(session)


def measure(stage: Stage) -> Theme:
    idle = "nobody saves"
    gaps: dict[Any, list[float]] = defaultdict(list)
    rounds = stage.scale.rounds_of_longest
    for number in range(rounds):
        stage.say(f"save(): round {number + 1} of {rounds}")
        for side in turns([SQLiteSession, RustSQLiteSession, idle], number):
            with stage.room() as room:
                gaps[side].append(idle_gap() if side == idle else gap_while_saving(stage, side, room / "session"))
    theirs, ours, floor = (median(gaps[side]) for side in (SQLiteSession, RustSQLiteSession, idle))
    what = f"save() with {stage.scale.saved:,} new entities"
    return Theme(
        "Saving in the event loop",
        "The longest time that a task which only awaits `asyncio.sleep(0)` waits for its turn, from before `save()`"
        f" until all is on disk; the floor is an idle loop's. {medians(rounds)}",
        [within(what, ours, 0.002, seconds, theirs, floor), faster(what, theirs, ours, seconds, 5)],
    )


def gap_while_saving(stage: Stage, cls: type, path: Path) -> float:
    session = make(cls, path)
    pages = stage.people.read(stage.people.pages_of(stage.scale.saved))

    async def run() -> float:
        with quiet():
            for page in pages:
                session.process_entities(page)
            return await Watcher().during(save(session))

    gap = asyncio.run(run())
    session.close()
    return gap


def idle_gap() -> float:
    with quiet():
        return asyncio.run(Watcher().during(asyncio.sleep(0.1)))

"""`save()`: how long it blocks the other tasks of an event loop, and how long it takes for one entity."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from statistics import median
from typing import Any

from telethon.sessions import SQLiteSession
from telethon.tl import types

from common import flush, gc_disabled, make_session, rotated
from harness import Harness
from report import Row, Section, at_most, medians, seconds, speedup
from telethon_session_rust import RustSQLiteSession

SAVES = 301


class LatencyProbe:
    """A task that only yields to the event loop and records its longest wait."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._is_done = False

    async def run(self) -> None:
        last = time.perf_counter()
        while not self._is_done:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    async def during(self, call: Awaitable[None]) -> float:
        task = asyncio.create_task(self.run())
        await asyncio.sleep(0.01)
        await call
        self._is_done = True
        await task
        return self.longest


class DurableSQLiteSession(SQLiteSession):
    """Telethon's session, so that a power cut just after `save()` does not undo it, as with ours."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self._cursor().execute("pragma synchronous = extra")


async def save(session: Any) -> None:
    session.save()
    await flush(session)


def measure(harness: Harness) -> Section:
    idle = "idle"
    gaps: dict[Any, list[float]] = defaultdict(list)
    rounds = harness.scale.rounds_of_max
    for round_number in range(rounds):
        harness.log(f"save(): round {round_number + 1} of {rounds}")
        for side in rotated([SQLiteSession, RustSQLiteSession, idle], round_number):
            with harness.temporary_folder() as folder:
                gap = idle_gap() if side == idle else gap_while_saving(harness, side, folder / "session")
                gaps[side].append(gap)
    theirs, ours, floor = (median(gaps[side]) for side in (SQLiteSession, RustSQLiteSession, idle))
    what = f"save() with {harness.scale.saved:,} new entities"
    return Section(
        "Saving in the event loop",
        "The longest wait of a task that only awaits `asyncio.sleep(0)`, from before `save()` until everything is on"
        f" disk. The floor is that of an idle loop. {medians(rounds)}",
        [at_most(what, ours, 0.002, seconds, theirs, floor), speedup(what, theirs, ours, seconds, 5), *small(harness)],
    )


def small(harness: Harness) -> list[Row]:
    """Returns rows for one entity that has changed, outside of an event loop. Telethon's session writes
    it in `process_entities`, ours in `save()`.
    """
    harness.log("save() of one entity")
    sides = (SQLiteSession, DurableSQLiteSession, RustSQLiteSession)
    times: dict[type, list[float]] = {side: [] for side in sides}
    with harness.temporary_folder() as folder, gc_disabled():
        sessions = {side: make_session(side, folder / side.__name__) for side in sides}
        for round_number in range(SAVES):
            for side in rotated(sides, round_number):
                user = types.User(1, access_hash=round_number, username="user", first_name=f"Anna {round_number}")
                start = time.perf_counter()
                sessions[side].process_entities([user])
                sessions[side].save()
                times[side].append(time.perf_counter() - start)
        for session in sessions.values():
            session.close()
    theirs, durable, ours = (median(times[side]) for side in sides)
    what = f"process_entities() and save() of one changed entity, the median of {SAVES}"
    return [
        speedup(what, theirs, ours, seconds),
        speedup(f"{what}, against Telethon's with `synchronous = extra`, as ours", durable, ours, seconds, 1),
    ]


def gap_while_saving(harness: Harness, cls: type, path: Path) -> float:
    session = make_session(cls, path)
    pages = harness.dataset.pages(harness.dataset.page_numbers(harness.scale.saved))

    async def run() -> float:
        with gc_disabled():
            for page in pages:
                session.process_entities(page)
            return await LatencyProbe().during(save(session))

    gap = asyncio.run(run())
    session.close()
    return gap


def idle_gap() -> float:
    with gc_disabled():
        return asyncio.run(LatencyProbe().during(asyncio.sleep(0.1)))

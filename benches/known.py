"""Who is known, among all entities of the dataset: iterating, counting, finding and forgetting. No step may hold
the event loop or the session for long.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from common import gc_disabled
from harness import Harness
from opening import fill
from report import Row, Section, at_most, medians, seconds
from telethon_session_rust import RustSQLiteSession

# What a step may take.
LIMIT = 0.002
YEAR = 365


def measure(harness: Harness) -> Section:
    scale = harness.scale
    times: dict[str, list[float]] = {}
    if not harness.full_file.exists():
        harness.log(f"who is known: filling a file with {scale.largest:,} entities")
        fill(harness, harness.full_file)
    for round_number in range(scale.rounds):
        harness.log(f"who is known: round {round_number + 1} of {scale.rounds}")
        with harness.temporary_folder() as folder, gc_disabled():
            file = shutil.copyfile(harness.full_file, folder / "known.session")
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute("update entities set date = 1600000000 where id % 2 = 0")
            for what, elapsed in asyncio.run(use(file)).items():
                times.setdefault(what, []).append(elapsed)
    of = {what: median(values) for what, values in times.items()}

    def step(what: str, key: str) -> Row:
        return at_most(what, of[key], LIMIT, seconds, floor=of["idle"])

    return Section(
        "Who is known",
        f"A file with {scale.largest:,} entities, half of which were last seen long ago. The longest step of an"
        " iteration is processor time; the longest pause of the event loop, and the longest lookup in it, are what a"
        " task notices that does nothing else, and the floor is the longest pause of an idle loop."
        f" {medians(scale.rounds)}",
        [
            step("longest step of `entities()`", "step"),
            step("`count_entities()`", "count"),
            step("`find_entity()`, a username", "find"),
            step("`forget()`", "forget"),
            step("`await forget_older_than()`: longest pause of the loop", "pause"),
            step("`await forget_older_than()`: longest lookup meanwhile", "lookup"),
            Row("`await forget_older_than()`: all of it", ours=seconds(of["all"])),
            Row("`count_entities()`, counted in the file", ours=seconds(of["in file"])),
        ],
    )


async def use(file: Path) -> dict[str, float]:
    session = RustSQLiteSession(file)
    begin = time.perf_counter()
    await asyncio.to_thread(session.count_entities)
    result = {"in file": time.perf_counter() - begin}
    while not session._is_loaded():
        await asyncio.sleep(0.01)
    longest, known = 0.0, []
    scan = session.entities()
    while True:
        cpu = time.thread_time()
        entity = next(scan, None)
        longest = max(longest, time.thread_time() - cpu)
        if entity is None:
            break
        if entity.username and len(known) < 2000:
            known.append(entity.username)
    result["step"] = longest
    result["count"] = timed(session.count_entities)
    result["find"] = median(timed(session.find_entity, username) for username in known[:1000])
    result["forget"] = max(timed(session.forget, username) for username in known[1000:])
    pauses = Pauses(session, known[0])
    await asyncio.sleep(0.3)
    result["idle"] = pauses.longest_pause()
    begin = time.perf_counter()
    await session.forget_older_than(YEAR)
    result["all"] = time.perf_counter() - begin
    result["lookup"], result["pause"] = pauses.longest_lookup, pauses.longest_pause()
    pauses.task.cancel()
    session.close()
    return result


def timed(call: Any, *arguments: Any) -> float:
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


class Pauses:
    """Looks an entity up again and again, and notes how long that takes and how long the loop paused."""

    def __init__(self, session: Any, username: str) -> None:
        self._session, self._username = session, username
        self._longest = self.longest_lookup = 0.0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        last = time.perf_counter()
        while True:
            self.longest_lookup = max(self.longest_lookup, timed(self._session.find_entity, self._username))
            await asyncio.sleep(0)
            now = time.perf_counter()
            self._longest, last = max(self._longest, now - last), now

    def longest_pause(self) -> float:
        longest, self._longest, self.longest_lookup = self._longest, 0.0, 0.0
        return longest

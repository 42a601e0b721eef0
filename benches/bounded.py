"""Memory within bounds: what a session with millions of entities takes, and how fast it finds those that are not in
memory.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from telethon.sessions import SQLiteSession

from common import in_subprocess
from harness import Harness
from report import Row, Section, at_most, medians, megabytes, seconds
from telethon_session_rust import RustSQLiteSession

MOST = 100_000
STORED, STORED_QUICKLY = 5_000_000, 200_000
LOOKUPS = 5000
# Each by Telethon reads all rows.
THEIR_LOOKUPS = 5
# What the process may grow by, and how long a lookup may take.
LARGEST, LONGEST = 60e6, 0.001


def measure(harness: Harness) -> Section:
    stored = STORED_QUICKLY if harness.scale.is_quick else STORED
    rounds = harness.scale.rounds_in_subprocesses
    with harness.temporary_folder() as folder:
        harness.log(f"bounded memory: filling a file with {stored:,} entities")
        name = str(folder / "people")
        fill(name, stored)
        figures: list[dict[str, float]] = []
        for round_number in range(rounds):
            harness.log(f"bounded memory: round {round_number + 1} of {rounds}")
            Path(f"{name}.session-index").unlink(missing_ok=True)
            bounded = in_subprocess(use_bounded, name, stored)
            bounded["again"] = in_subprocess(grow_with_index, name, stored)
            bounded["whole"] = in_subprocess(grow_whole, name)
            bounded["theirs"] = in_subprocess(use_telethons, name, stored)
            figures.append(bounded)
    of = {key: median(figure[key] for figure in figures) for key in figures[0]}
    return Section(
        "Memory within bounds",
        f"A file with {stored:,} entities, `max_entities={MOST:,}`, each side in a process of its own. Growth is the"
        " largest resident memory beyond that before opening; its floor is a session that keeps all in memory."
        f" Lookups are of random entities, nearly all of whom are not in memory. {medians(rounds)}",
        [
            at_most("growth while the index is made", of["building"], LARGEST, megabytes, floor=of["whole"]),
            at_most("growth after lookups have filled memory", of["full"], LARGEST, megabytes, floor=of["whole"]),
            at_most("growth with an index that is there, after a lookup", of["again"], LARGEST, megabytes),
            at_most("a username, median", of["username"], LONGEST, seconds, of["theirs"]),
            at_most("a username, 99th percentile", of["username p99"], LONGEST, seconds),
            at_most("a phone, median", of["phone"], LONGEST, seconds),
            at_most("a name, median", of["name"], LONGEST, seconds),
            at_most("an ID, median", of["id"], LONGEST, seconds),
            at_most("a username that is not known, median", of["unknown"], LONGEST, seconds),
            Row("opening", ours=seconds(of["opening"])),
            Row("making the index, in the background", ours=seconds(of["index"])),
            Row("size of the index", ours=megabytes(of["size"])),
        ],
    )


def fill(name: str, count: int) -> None:
    with closing(SQLiteSession(name)) as session:
        session.save()
    rows = (
        (
            id,
            id * 7,
            f"user{id}" if id % 5 < 3 else None,
            10**10 + id if id % 5 == 0 else None,
            f"Anna {id}",
            1_600_000_000 + id,
        )
        for id in range(1, count + 1)
    )
    with closing(sqlite3.connect(f"{name}.session")) as connection, connection:
        connection.executemany("insert into entities values (?,?,?,?,?,?)", rows)


class Growth:
    """The most resident memory from now on, beyond what there is now."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._most = max(self._most, self._process.memory_info().rss)

    def so_far(self) -> float:
        return max(self._most, self._process.memory_info().rss) - self._before

    def end(self) -> float:
        self._done.set()
        self._thread.join()
        return self.so_far()


def open_bounded(name: str) -> Any:
    return RustSQLiteSession(name, max_entities=MOST)


def is_indexed(name: str) -> bool:
    with closing(sqlite3.connect(f"{name}.session-index")) as connection:
        return bool(connection.execute("select is_complete from index_state").fetchone()[0])


def time_each(session: Any, keys: list[Any], finds: bool = True) -> list[float]:
    times = []
    for key in keys:
        begin = time.perf_counter()
        found = session.find_entity(key)
        times.append(time.perf_counter() - begin)
        if (found is not None) != finds:
            raise AssertionError(f"{key!r}: {found!r}")
    return times


def use_bounded(name: str, stored: int) -> dict[str, float]:
    numbers = random.Random(1)
    growth = Growth()
    begin = time.perf_counter()
    session = open_bounded(name)
    figures = {"opening": time.perf_counter() - begin}
    while not is_indexed(name):
        time.sleep(0.05)
    figures["index"] = time.perf_counter() - begin
    figures["building"] = growth.so_far()
    figures["size"] = float(Path(f"{name}.session-index").stat().st_size)

    def ids(remainder: int, count: int = LOOKUPS) -> list[int]:
        return [5 * numbers.randrange(1, stored // 5) + remainder for _ in range(count)]

    times = time_each(session, [f"user{id}" for id in ids(1)])
    figures["username"], figures["username p99"] = median(times), quantiles(times, n=100)[-1]
    figures["phone"] = median(time_each(session, [f"+{10**10 + id}" for id in ids(0)]))
    figures["name"] = median(time_each(session, [f"Anna {id}" for id in ids(2)]))
    figures["id"] = median(time_each(session, ids(3)))
    figures["unknown"] = median(time_each(session, [f"unknown{id}" for id in ids(1)], finds=False))
    for id in ids(4, 2 * MOST):
        session.get_entity_rows_by_id(id)
    figures["full"] = growth.end()
    session.close()
    return figures


def grow_with_index(name: str, stored: int) -> float:
    growth = Growth()
    session = open_bounded(name)
    time_each(session, [f"user{stored // 5 * 5 - 4}"])
    grown = growth.end()
    session.close()
    return grown


def grow_whole(name: str) -> float:
    growth = Growth()
    session = RustSQLiteSession(name)
    while not session._is_loaded():
        time.sleep(0.05)
    grown = growth.end()
    session.close()
    return grown


def use_telethons(name: str, stored: int) -> float:
    with closing(SQLiteSession(name)) as session:
        times = []
        for number in range(1, THEIR_LOOKUPS + 1):
            key = f"user{5 * (stored // 5 * number // (THEIR_LOOKUPS + 1)) + 1}"
            begin = time.perf_counter()
            session.get_input_entity(key)
            times.append(time.perf_counter() - begin)
    return median(times)

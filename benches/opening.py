"""Opening a file with many entities: the constructor, the first lookup, and loading everything."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from telethon.sessions import SQLiteSession

from common import gc_disabled, rotated
from harness import Harness
from report import Row, Section, at_most, medians, number, over_floor, seconds, speedup, times
from telethon_session_rust import RustSQLiteSession

# In seconds.
POLL_INTERVAL = 0.01
# How many usernames are looked up in turns while the file is loaded.
MANY = 50

Figures = defaultdict[str, list[float]]


def measure(harness: Harness) -> Section:
    scale = harness.scale
    figures: Figures = defaultdict(list)
    with harness.temporary_folder() as folder:
        if not harness.full_file.exists():
            harness.log(f"opening: filling a file with {scale.largest:,} entities")
            fill(harness, harness.full_file)
        # One process must not open the same file with two SQLite libraries, so each side has a
        # copy.
        theirs, ours = (shutil.copyfile(harness.full_file, folder / f"{side}.session") for side in ("theirs", "ours"))
        for round_number in range(scale.rounds):
            harness.log(f"opening: round {round_number + 1} of {scale.rounds}")
            usernames = [any_username(harness, random.Random(seed)) for seed in range(round_number, MANY)]
            for side in rotated((open_theirs, open_ours), round_number):
                path = ours if side is open_ours else theirs
                # Loads the file into the page cache, for both sides.
                path.read_bytes()
                with gc_disabled():
                    side(str(path), usernames, figures)
    of = {what: median(values) for what, values in figures.items()}
    scan = of["their scan"]
    return Section(
        f"Opening a file of {scale.largest:,} entities",
        "A scan is one lookup of a username with Telethon's session, in the same file. The Python loop only counts; its"
        f" floor is an undisturbed loop. {medians(scale.rounds)}",
        [
            at_most("the constructor", of["our constructor"], 0.02, seconds, of["their constructor"]),
            over_floor("first username, right after the constructor", of["our first"], scan, seconds, 1.5, "a scan"),
            over_floor("until everything is in memory", of["our loading"], scan, seconds, 15, "a scan"),
            over_floor(
                "until everything is in memory, with lookups all the time",
                of["our loading beside lookups"],
                scan,
                seconds,
                15,
                "a scan",
            ),
            loop_speed(of["steps while loading"], of["steps alone"]),
            at_most(
                "longest gap in the loop while loading", of["gap while loading"], 0.01, seconds, floor=of["gap alone"]
            ),
            speedup(
                "constructor and first username",
                of["their constructor"] + scan,
                of["our constructor"] + of["our first"],
                seconds,
            ),
        ],
    )


def loop_speed(while_loading: float, alone: float) -> Row:
    what = "steps per second of a Python loop while loading (GIL released)"
    ratio = while_loading / alone
    return Row(what, "", number(while_loading), number(alone), times(ratio), f"≥ {times(0.5)}", ratio >= 0.5)


def fill(harness: Harness, path: Path) -> None:
    session = SQLiteSession(str(path))
    for page_number in harness.dataset.page_numbers(harness.scale.largest):
        session.process_entities(harness.dataset.page(page_number))
    session.close()


def any_username(harness: Harness, rng: random.Random) -> str:
    page = harness.dataset.page(rng.choice(harness.dataset.page_numbers(harness.scale.largest)))
    return rng.choice([user.username for user in page.users if user.username])


def open_theirs(path: str, usernames: list[str], figures: Figures) -> None:
    with stopwatch(figures["their constructor"]):
        session = SQLiteSession(path)
    with stopwatch(figures["their scan"]):
        session.get_input_entity(usernames[0])
    session.close()


def open_ours(path: str, usernames: list[str], figures: Figures) -> None:
    with stopwatch(figures["our constructor"]):
        session = RustSQLiteSession(path)
    with stopwatch(figures["our first"]):
        session.get_input_entity(usernames[0])
    session.close()

    with stopwatch(figures["our loading"]):
        session = RustSQLiteSession(path)
        while not session._is_loaded():
            time.sleep(0.001)
    session.close()

    with stopwatch(figures["our loading beside lookups"]):
        session = RustSQLiteSession(path)
        for username in itertools.cycle(usernames):
            session.get_input_entity(username)
            if session._is_loaded():
                break
    session.close()

    start = time.perf_counter()
    session = RustSQLiteSession(path)
    count(session._is_loaded, figures["steps while loading"], figures["gap while loading"])
    session.close()
    end = 2 * time.perf_counter() - start
    count(lambda: time.perf_counter() > end, figures["steps alone"], figures["gap alone"])


def count(is_done: Callable[[], Any], speeds: list[float], gaps: list[float]) -> None:
    """Records the steps per second of a loop, and the longest time between two steps."""
    steps, longest = 0, 0.0
    start = last = time.perf_counter()
    while True:
        # Polling at each step would keep the session busy with it.
        next_poll = last + POLL_INTERVAL
        while last < next_poll:
            steps += 1
            now = time.perf_counter()
            if now - last > longest:
                longest = now - last
            last = now
        if is_done():
            break
        # Do not count a wait for one of the session's locks.
        last = time.perf_counter()
    speeds.append(steps / (last - start))
    gaps.append(longest)


@contextmanager
def stopwatch(times: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times.append(time.perf_counter() - start)

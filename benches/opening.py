"""Opening a file with many entities: when it is there, when it answers, when all of it is in memory."""

from __future__ import annotations

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

from report import Row, Theme, beside, faster, medians, number, seconds, times, within
from sides import quiet, turns
from stage import Stage
from telethon_session_rust import RustSQLiteSession

# Seconds.
ASK_EVERY = 0.01

Found = defaultdict[str, list[float]]


def measure(stage: Stage) -> Theme:
    found: Found = defaultdict(list)
    with stage.room() as room:
        if not stage.grown.exists():
            stage.say(f"opening: a file of {stage.scale.most:,} is made")
            fill(stage, stage.grown)
        # A copy for each: one process must not have the same file open in two SQLites.
        theirs, ours = (shutil.copyfile(stage.grown, room / f"{whose}.session") for whose in ("theirs", "ours"))
        for round_number in range(stage.scale.rounds):
            stage.say(f"opening: round {round_number + 1} of {stage.scale.rounds}")
            username = somebody(stage, random.Random(round_number))
            for side in turns((one_of_theirs, one_of_ours), round_number):
                path = ours if side is one_of_ours else theirs
                # All of the file in the system's memory, for both.
                path.read_bytes()
                with quiet():
                    side(str(path), username, found)
    of = {what: median(values) for what, values in found.items()}
    scan = of["their scan"]
    return Theme(
        f"Opening a file of {stage.scale.most:,} entities",
        "A scan is one lookup of a username with Telethon's session, in the same file. The Python loop only counts;"
        f" its floor is the same loop with nothing else going on. {medians(stage.scale.rounds)}",
        [
            within("the constructor", of["our opening"], 0.02, seconds, of["their opening"]),
            beside("the first username, right after it", of["our first"], scan, seconds, 1.5, "a scan"),
            beside("until all is in memory", of["our loading"], scan, seconds, 15, "a scan"),
            loop_speed(of["steps meanwhile"], of["steps alone"]),
            within("longest gap in the loop", of["gap meanwhile"], 0.01, seconds, floor=of["gap alone"]),
            faster(
                "constructor and first username",
                of["their opening"] + scan,
                of["our opening"] + of["our first"],
                seconds,
            ),
        ],
    )


def loop_speed(meanwhile: float, alone: float) -> Row:
    what = "GIL free: steps a second of a Python loop meanwhile"
    ratio = meanwhile / alone
    return Row(what, "", number(meanwhile), number(alone), times(ratio), f"≥ {times(0.5)}", ratio >= 0.5)


def fill(stage: Stage, path: Path) -> None:
    session = SQLiteSession(str(path))
    for number_of_page in stage.people.pages_of(stage.scale.most):
        session.process_entities(stage.people.page(number_of_page))
    session.close()


def somebody(stage: Stage, chance: random.Random) -> str:
    """The username of any one who has one."""
    page = stage.people.page(chance.choice(stage.people.pages_of(stage.scale.most)))
    return chance.choice([user.username for user in page.users if user.username])


def one_of_theirs(path: str, username: str, found: Found) -> None:
    with clock(found["their opening"]):
        session = SQLiteSession(path)
    with clock(found["their scan"]):
        session.get_input_entity(username)
    session.close()


def one_of_ours(path: str, username: str, found: Found) -> None:
    with clock(found["our opening"]):
        session = RustSQLiteSession(path)
    with clock(found["our first"]):
        session.get_input_entity(username)
    session.close()

    with clock(found["our loading"]):
        session = RustSQLiteSession(path)
        while not session._is_loaded():
            time.sleep(0.001)
    session.close()

    begun = time.perf_counter()
    session = RustSQLiteSession(path)
    count(session._is_loaded, found["steps meanwhile"], found["gap meanwhile"])
    session.close()
    end = 2 * time.perf_counter() - begun
    count(lambda: time.perf_counter() > end, found["steps alone"], found["gap alone"])


def count(is_over: Callable[[], Any], speeds: list[float], gaps: list[float]) -> None:
    """Notes how many steps a second a loop makes, and the longest time between two of them."""
    steps, longest = 0, 0.0
    begun = last = time.perf_counter()
    while True:
        # Asked at each step, the session would do little else than answer.
        ask = last + ASK_EVERY
        while last < ask:
            steps += 1
            now = time.perf_counter()
            if now - last > longest:
                longest = now - last
            last = now
        if is_over():
            break
        # It may have waited for a lock of the session's, which is not what is asked here.
        last = time.perf_counter()
    speeds.append(steps / (last - begun))
    gaps.append(longest)


@contextmanager
def clock(times: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    times.append(time.perf_counter() - begun)

"""`process_entities`: people met for the first time, and met again."""

from __future__ import annotations

import operator
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from people import PAGE
from report import Row, Theme, beside, faster, medians, seconds
from sides import SESSIONS, make, quiet, turns
from stage import Stage
from telethon_session_rust import RustMemorySession, RustSQLiteSession

# What any session must read of an entity, and the fastest that Python can read it.
READ = {
    types.User: operator.attrgetter("id", "access_hash", "min", "username", "phone", "first_name", "last_name"),
    types.Channel: operator.attrgetter("id", "access_hash", "min", "username", "title"),
    types.Chat: operator.attrgetter("id", "title"),
}

Times = dict[tuple[str, Any], list[float]]


def measure(stage: Stage) -> Theme:
    times: Times = defaultdict(list)
    for number in range(stage.scale.rounds):
        stage.say(f"process_entities: round {number + 1} of {stage.scale.rounds}")
        for side in turns([*SESSIONS, read_attributes], number):
            with stage.room() as room:
                measure_side(stage, side, room, times)
    of = {key: median(found) for key, found in times.items()}
    files, memories = (SQLiteSession, RustSQLiteSession), (MemorySession, RustMemorySession)

    def row(what: str, when: str, sides: tuple[type, type], reach: float | None = None) -> Row:
        return faster(what, of[when, sides[0]], of[when, sides[1]], seconds, reach)

    def row_with_floor(what: str, when: str, ours: type, reach: float | None = None) -> Row:
        return beside(f"{what}, beside the floor", of[when, ours], of[when, read_attributes], seconds, reach)

    new, read = "new entities", "each page just read"
    return Theme(
        "Receiving entities",
        f"Time per entity, {stage.scale.ingested:,} of them in pages of {PAGE}. All pages are ready before; or each is"
        " read off the wire just before its call, as in a client, and still in the CPU's cache. The floor is reading"
        f" the same attributes with `operator.attrgetter`. {medians(stage.scale.rounds)}",
        [
            row(f"{new}, in a file", "new", files, 12),
            row(f"{new}, in memory", "new", memories, 7),
            row_with_floor(f"{new}, in a file", "new", RustSQLiteSession, 1),
            row_with_floor(f"{new}, in memory", "new", RustMemorySession, 1),
            row("seen again, in a file", "again", files, 15),
            row("seen again, in memory", "again", memories),
            row(f"{new}, until on disk", "disk", files),
            row(f"{new}, CPU of all threads until on disk", "cpu", files),
            row(f"{new}, {read}, in a file", "just read", files, 12),
            row(f"{new}, {read}, in memory", "just read", memories, 7),
            row_with_floor(f"{new}, {read}, in a file", "just read", RustSQLiteSession, 1),
            row_with_floor(f"{new}, {read}, in memory", "just read", RustMemorySession, 1),
            row(f"seen again, {read}, in a file", "just read again", files, 15),
        ],
    )


def read_attributes(page: types.contacts.ResolvedPeer) -> None:
    for user in page.users:
        READ[type(user)](user)
    for chat in page.chats:
        READ[type(chat)](chat)


def measure_side(stage: Stage, side: Any, room: Path, times: Times) -> None:
    numbers = stage.people.pages_of(stage.scale.ingested)
    if isinstance(side, type):
        measure_session(stage, side, room / "all", times)
        call = make(side, room / "just").process_entities
    else:
        pages = stage.people.read(numbers)
        with quiet():
            times["new", side].append(clocked(side, pages) / stage.scale.ingested)
        call = side
    for what in ("just read", "just read again"):
        with quiet():
            taken = sum(clocked(call, [stage.people.page(number)]) for number in numbers)
        times[what, side].append(taken / stage.scale.ingested)


def measure_session(stage: Stage, cls: type, path: Path, times: Times) -> None:
    numbers, count = stage.people.pages_of(stage.scale.ingested), stage.scale.ingested
    session = make(cls, path)
    pages = stage.people.read(numbers)
    with quiet():
        cpu = time.process_time()
        new = clocked(session.process_entities, pages)
        begun = time.perf_counter()
        # There is no event loop here, so that it returns when all is on disk.
        session.save()
        saving = time.perf_counter() - begun
        cpu = time.process_time() - cpu
    pages = stage.people.read(numbers)
    with quiet():
        again = clocked(session.process_entities, pages)
    session.close()
    for what, taken in (("new", new), ("disk", new + saving), ("cpu", cpu), ("again", again)):
        times[what, cls].append(taken / count)


def clocked(call: Callable[[Any], Any], pages: list[Any]) -> float:
    """Seconds for all of them, without a pause."""
    begun = time.perf_counter()
    for page in pages:
        call(page)
    return time.perf_counter() - begun

"""`process_entities`: entities received for the first time, and received again."""

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

from common import SESSIONS, gc_disabled, make_session, native_reader, rotated
from dataset import PAGE
from harness import Harness
from report import Row, Section, medians, over_floor, seconds, speedup
from telethon_session_rust import RustMemorySession, RustSQLiteSession

# The attributes that every session must read, and the fastest way to read them in Python.
READ = {
    types.User: operator.attrgetter("id", "access_hash", "min", "username", "phone", "first_name", "last_name"),
    types.Channel: operator.attrgetter("id", "access_hash", "min", "username", "title"),
    types.Chat: operator.attrgetter("id", "title"),
}

Times = dict[tuple[str, Any], list[float]]


def measure(harness: Harness) -> Section:
    scale = harness.scale
    times: Times = defaultdict(list)
    for round_number in range(scale.rounds):
        harness.log(f"process_entities: round {round_number + 1} of {scale.rounds}")
        for side in rotated([*SESSIONS, read_attributes], round_number):
            with harness.temporary_folder() as folder, native_reader():
                measure_side(harness, side, folder, times)
    of = {key: median(values) for key, values in times.items()}
    files, memories = (SQLiteSession, RustSQLiteSession), (MemorySession, RustMemorySession)

    def row(what: str, case: str, sides: tuple[type, type], target: float | None = None) -> Row:
        return speedup(what, of[case, sides[0]], of[case, sides[1]], seconds, target)

    def row_over_floor(what: str, case: str, ours: type, target: float | None = None) -> Row:
        return over_floor(f"{what}, against the floor", of[case, ours], of[case, read_attributes], seconds, target)

    new, read = "new entities", "each page just read"
    return Section(
        "Receiving entities",
        f"Time per entity, for {scale.received:,} of them in pages of {PAGE}, which are read natively, for both sides:"
        ' all beforehand, or each just before its call, as in a client, and still in the CPU cache ("just read"). The'
        f" floor reads these attributes with `operator.attrgetter`. {medians(scale.rounds)}",
        [
            row(f"{new}, in a file", "new", files, 12),
            row(f"{new}, in memory", "new", memories, 7),
            row_over_floor(f"{new}, in a file", "new", RustSQLiteSession, 1),
            row_over_floor(f"{new}, in memory", "new", RustMemorySession, 1),
            row("seen before, in a file", "seen before", files, 15),
            row("seen before, in memory", "seen before", memories),
            row(f"{new}, until on disk", "on disk", files),
            row(f"{new}, CPU of all threads until on disk", "cpu", files),
            row(f"{new}, {read}, in a file", "just read", files, 12),
            row(f"{new}, {read}, in memory", "just read", memories, 7),
            row_over_floor(f"{new}, {read}, in a file", "just read", RustSQLiteSession, 1),
            row_over_floor(f"{new}, {read}, in memory", "just read", RustMemorySession, 1),
            row(f"seen before, {read}, in a file", "just read, seen before", files, 15),
        ],
    )


def read_attributes(page: types.contacts.ResolvedPeer) -> None:
    for user in page.users:
        READ[type(user)](user)
    for chat in page.chats:
        READ[type(chat)](chat)


def measure_side(harness: Harness, side: Any, folder: Path, times: Times) -> None:
    count = harness.scale.received
    numbers = harness.dataset.page_numbers(count)
    if isinstance(side, type):
        measure_session(harness, side, folder / "all", times)
        call = make_session(side, folder / "just_read").process_entities
    else:
        pages = harness.dataset.pages(numbers)
        with gc_disabled():
            times["new", side].append(timed(side, pages) / count)
        call = side
    for case in ("just read", "just read, seen before"):
        with gc_disabled():
            elapsed = sum(timed(call, [harness.dataset.page(number)]) for number in numbers)
        times[case, side].append(elapsed / count)


def measure_session(harness: Harness, cls: type, path: Path, times: Times) -> None:
    count = harness.scale.received
    numbers = harness.dataset.page_numbers(count)
    session = make_session(cls, path)
    pages = harness.dataset.pages(numbers)
    with gc_disabled():
        cpu = time.process_time()
        new = timed(session.process_entities, pages)
        start = time.perf_counter()
        # Without an event loop, save() returns when everything is on disk.
        session.save()
        saving = time.perf_counter() - start
        cpu = time.process_time() - cpu
    pages = harness.dataset.pages(numbers)
    with gc_disabled():
        again = timed(session.process_entities, pages)
    session.close()
    for case, elapsed in (("new", new), ("on disk", new + saving), ("cpu", cpu), ("seen before", again)):
        times[case, cls].append(elapsed / count)


def timed(call: Callable[[Any], Any], pages: list[Any]) -> float:
    """Returns the seconds of one call for each page, without a pause."""
    start = time.perf_counter()
    for page in pages:
        call(page)
    return time.perf_counter() - start

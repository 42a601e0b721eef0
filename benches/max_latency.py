"""The longest `process_entities` while a session grows: a table must not be resized in a single
call.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

from telethon.sessions import MemorySession, SQLiteSession
from telethon.sessions.sqlite import EXTENSION

from common import SESSIONS, gc_disabled, make_session, rotated
from dataset import PAGE
from harness import Harness
from ingest import read_attributes
from report import Row, Section, at_most, medians, seconds
from telethon_session_rust import RustMemorySession, RustSQLiteSession

# In pages. A client saves once a minute; with more frequent saves, Telethon's file would dominate
# the run time.
SAVE_EVERY = 50_000 // PAGE

FLOOR = read_attributes.__name__


def measure(harness: Harness) -> Section:
    scale = harness.scale
    longest: dict[str, list[float]] = {name: [] for name in (*(cls.__name__ for cls in SESSIONS), FLOOR)}
    for round_number in range(scale.rounds):
        harness.log(f"growing: round {round_number + 1} of {scale.rounds}")
        with harness.temporary_folder() as folder, gc_disabled():
            for name, elapsed in asyncio.run(grow(harness, folder)).items():
                longest[name].append(elapsed)
            (folder / SQLiteSession.__name__).with_suffix(EXTENSION).replace(harness.full_file)
    of = {name: median(values) for name, values in longest.items()}

    def row(where: str, theirs: type, ours: type) -> Row:
        return at_most(f"longest page, {where}", of[ours.__name__], 0.005, seconds, of[theirs.__name__], of[FLOOR])

    return Section(
        "Growing",
        f"The longest single page of {PAGE} while a session grows from nothing to {scale.largest:,} entities, saved"
        f" every {SAVE_EVERY * PAGE:,}. The floor only reads the attributes, and shows the machine's own delays."
        f" {medians(scale.rounds)}",
        [row("in a file", SQLiteSession, RustSQLiteSession), row("in memory", MemorySession, RustMemorySession)],
    )


async def grow(harness: Harness, folder: Path) -> dict[str, float]:
    """Returns the longest call of each side, in an event loop, where `save()` may leave work to the
    background.

    All sides receive each page in turn, in rotating order. Parsing each page once per side would
    take longer than the rest of this benchmark.
    """
    sessions = {cls.__name__: make_session(cls, folder / cls.__name__) for cls in SESSIONS}
    calls = {name: session.process_entities for name, session in sessions.items()} | {FLOOR: read_attributes}
    longest = dict.fromkeys(calls, 0.0)
    for number in harness.dataset.page_numbers(harness.scale.largest):
        page = harness.dataset.page(number)
        for name in rotated(list(calls), number):
            start = time.perf_counter()
            calls[name](page)
            longest[name] = max(longest[name], time.perf_counter() - start)
        if number % SAVE_EVERY == SAVE_EVERY - 1:
            for session in sessions.values():
                session.save()
    for session in sessions.values():
        session.close()
    return longest

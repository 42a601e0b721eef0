"""The longest `process_entities` while a session grows: whatever has to grow in it must not do so all at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median

from telethon.sessions import MemorySession, SQLiteSession
from telethon.sessions.sqlite import EXTENSION

from ingest import read_attributes
from people import PAGE
from report import Row, Theme, medians, seconds, within
from sides import SESSIONS, make, quiet, turns
from stage import Stage
from telethon_session_rust import RustMemorySession, RustSQLiteSession

# The client saves once a minute. Saved more often, Telethon's file alone would take most of the time here.
SAVE_EVERY = 50_000 // PAGE

FLOOR = read_attributes.__name__


def measure(stage: Stage) -> Theme:
    longest: dict[str, list[float]] = {name: [] for name in (*(cls.__name__ for cls in SESSIONS), FLOOR)}
    for number in range(stage.scale.rounds):
        stage.say(f"growing: round {number + 1} of {stage.scale.rounds}")
        with stage.room() as room, quiet():
            for name, page in asyncio.run(grow(stage, room)).items():
                longest[name].append(page)
            (room / SQLiteSession.__name__).with_suffix(EXTENSION).replace(stage.grown)
    of = {name: median(found) for name, found in longest.items()}

    def row(where: str, theirs: type, ours: type) -> Row:
        return within(f"longest page, {where}", of[ours.__name__], 0.005, seconds, of[theirs.__name__], of[FLOOR])

    return Theme(
        "Growing",
        f"The longest single page of {PAGE} while a session grows from nothing to {stage.scale.most:,} entities, saved"
        f" every {SAVE_EVERY * PAGE:,}. The floor only reads the attributes: it tells how long the machine itself holds"
        f" a page up. {medians(stage.scale.rounds)}",
        [row("in a file", SQLiteSession, RustSQLiteSession), row("in memory", MemorySession, RustMemorySession)],
    )


async def grow(stage: Stage, room: Path) -> dict[str, float]:
    """In an event loop, as in a client, where `save()` may leave work to the background.

    All take each page in turn, another one first each time: making a page anew for each would take longer than
    everything else here.
    """
    sessions = {cls.__name__: make(cls, room / cls.__name__) for cls in SESSIONS}
    calls = {name: session.process_entities for name, session in sessions.items()} | {FLOOR: read_attributes}
    longest = dict.fromkeys(calls, 0.0)
    for number in stage.people.pages_of(stage.scale.most):
        page = stage.people.page(number)
        for name in turns(list(calls), number):
            begun = time.perf_counter()
            calls[name](page)
            longest[name] = max(longest[name], time.perf_counter() - begun)
        if number % SAVE_EVERY == SAVE_EVERY - 1:
            for session in sessions.values():
                session.save()
    for session in sessions.values():
        session.close()
    return longest

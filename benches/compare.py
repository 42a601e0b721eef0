"""Ours beside Telethon's, in one process and one run, turn by turn; medians.

Entities are made up as a busy bot sees them: see `World` in tests/loopback/world.py.
"""

from __future__ import annotations

import operator
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import rich
from rich.table import Table
from telethon import utils
from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from loopback import World
from telethon_session_rust import RustMemorySession, RustSQLiteSession

PAGE = 200
PAGES = 250
ROUNDS = 5
LOOKUPS = 200
CLASSES = (SQLiteSession, MemorySession, RustSQLiteSession, RustMemorySession)
# What any session must read of an entity, and the fastest that Python can read it.
READ = {
    types.User: operator.attrgetter("id", "access_hash", "min", "username", "phone", "first_name", "last_name"),
    types.Channel: operator.attrgetter("id", "access_hash", "min", "username", "title"),
    types.Chat: operator.attrgetter("id", "title"),
}


def read_attributes(page: list[Any]) -> None:
    for entity in page:
        READ[type(entity)](entity)


def per_item(call: Callable[[Any], Any], items: list[Any], count: int) -> float:
    """Microseconds."""
    begun = time.perf_counter()
    for item in items:
        call(item)
    return (time.perf_counter() - begun) / count * 1e6


def measure_round(number: int, world: World, times: dict[tuple[str, str], list[float]]) -> None:
    everybody = list(world.entities(PAGES * PAGE, number * PAGES * PAGE))
    pages = [everybody[first : first + PAGE] for first in range(0, len(everybody), PAGE)]
    known = {"id": [utils.get_peer_id(one) for one in everybody[:LOOKUPS]]}
    known["username"] = [one.username for one in everybody if getattr(one, "username", None)][:LOOKUPS]
    known["phone"] = [f"+{one.phone}" for one in everybody if getattr(one, "phone", None)][:LOOKUPS]
    known["name"] = [utils.get_display_name(one) for one in everybody][:LOOKUPS]
    times["attributes read by attrgetter", "floor"].append(per_item(read_attributes, pages, len(everybody)))
    sessions = [cls(f"{cls.__name__}{number}") if issubclass(cls, SQLiteSession) else cls() for cls in CLASSES]
    for what in ("new entities", "the same again"):
        for session in sessions:
            taken = per_item(session.process_entities, pages, len(everybody))
            times[what, type(session).__name__].append(taken)
    for what, keys in known.items():
        for session in sessions:
            taken = per_item(session.get_input_entity, keys, len(keys))
            times[f"found by {what} among {len(everybody):,}", type(session).__name__].append(taken)
    for session in sessions:
        session.close()


def main() -> None:
    world = World()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number in range(ROUNDS):
            measure_round(number, world, times)
        os.chdir("/")
    names = [cls.__name__ for cls in CLASSES]
    table = Table("us each", *names, "floor", title=f"medians of {ROUNDS} rounds")
    for what in dict.fromkeys(what for what, _ in times):
        medians = [times.get((what, name)) for name in (*names, "floor")]
        table.add_row(what, *(f"{statistics.median(found):,.2f}" if found else "" for found in medians))
    rich.print(table)


if __name__ == "__main__":
    main()

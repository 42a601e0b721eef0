"""A bot that runs for months, compressed: the same people come again and again, renamed, and it saves and saves."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

import entities
from conftest import PROFILE
from files import dump
from telethon_session_rust import RustSQLiteSession
from trying import tried

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc")

PEOPLE = 10_000
PAGE = 100
SAVE_EVERY = 50  # pages
ENTITIES = 1_000_000 if PROFILE == "quick" else 10_000_000
# Telethon's class takes thirty times as long.
ENTITIES_OF_TELETHON = 500_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def life(count: int) -> Iterator[list[Any]]:
    """Pages of people, some of whom have changed their names, of all lengths."""
    choice = random.Random(7)
    people = [entities.user(id, id, username=f"user_{id}", first_name="Anna") for id in range(1, PEOPLE + 1)]
    yield people
    for n in range(count // PAGE):
        first = choice.randrange(PEOPLE - PAGE)
        page = people[first : first + PAGE]
        for person in page[:: choice.choice([1, 2, 5, 10])]:
            person.username = choice.choice(LETTERS) * choice.randrange(4, 32)
            person.first_name = "Ж" * choice.randrange(1, 64)
            person.access_hash = n
        yield page


def resident() -> int:
    """Memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def live(count: int) -> None:
    session = RustSQLiteSession("ours")
    memory, files, sizes = [], [], []
    for n, page in enumerate(life(count)):
        session.process_entities(page)
        if n % SAVE_EVERY == 0:
            session.save()
            # As a client does between two updates.
            await asyncio.sleep(0)
        if n == ENTITIES_OF_TELETHON // PAGE:
            await session.flush()
            shutil.copy("ours.session", "ours_then.session")
        if n % (count // PAGE // 10) == 0:
            await session.flush()
            gc.collect()
            sizes.append(Path("ours.session").stat().st_size)
            memory.append(resident())
            files.append(descriptors())
    session.close()
    # Of ten readings, what grows with every one is a leak; the first ones see caches filled.
    assert max(memory[5:]) <= max(memory[2:5]) * 1.03, memory
    assert max(files[2:]) == files[2], files
    # A row that is rewritten longer may split a page, in Telethon's file too; it happens less and less.
    assert max(sizes) <= sizes[2] * 1.1, sizes


def test_a_long_life() -> None:
    """In a process of its own, whose memory is nobody else's."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    program = f"import asyncio, test_long_runs; asyncio.run(test_long_runs.live({ENTITIES}))"
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    telethons = SQLiteSession("telethons")
    for n, page in enumerate(life(ENTITIES_OF_TELETHON)):
        telethons.process_entities(page)
        if n % SAVE_EVERY == 0:
            telethons.save()
    telethons.save()
    telethons.close()
    ours, theirs = (Path(f"{name}.session").stat().st_size for name in ("ours_then", "telethons"))
    assert ours <= theirs * 1.05
    assert len(dump("ours_then.session")["entities"]) == len(dump("telethons.session")["entities"])
    tried("entities of one long life", ENTITIES)
    tried("saves of one long life", ENTITIES // PAGE // SAVE_EVERY)

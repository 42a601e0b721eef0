"""Lives as a bot does for months, compressed: the same people come again and again, renamed, and it saves and saves.

`python -m support.programs.long_life ENTITIES` writes `ours.session`, and copies it to `ours_then.session` when it has
received as many entities as the test has Telethon's session receive. It fails if memory, descriptors or the file grow.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import entities
from telethon_session_rust import RustSQLiteSession

PEOPLE = 10_000
PAGE = 100
SAVE_EVERY = 50  # pages
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


if __name__ == "__main__":
    asyncio.run(live(int(sys.argv[1])))

"""Simulates a bot that runs for months: it receives the same users repeatedly, with new names, and
saves often.

`python -m support.programs.long_run ENTITIES` writes `ours.session`, and copies it to
`ours_then.session` when it has received as many entities as Telethon's session does in the test. It
fails if memory, descriptors or the file grow.
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

USERS = 10_000
BATCH = 100
SAVE_EVERY = 50  # batches
# Fewer, because Telethon's session takes thirty times as long.
TELETHON_ENTITIES = 500_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def batches(count: int) -> Iterator[list[Any]]:
    """Yields batches of users, some of which have new names, of all lengths."""
    choice = random.Random(7)
    users = [entities.user(id, id, username=f"user_{id}", first_name="Anna") for id in range(1, USERS + 1)]
    yield users
    for n in range(count // BATCH):
        first = choice.randrange(USERS - BATCH)
        batch = users[first : first + BATCH]
        for user in batch[:: choice.choice([1, 2, 5, 10])]:
            user.username = choice.choice(LETTERS) * choice.randrange(4, 32)
            user.first_name = "Ж" * choice.randrange(1, 64)
            user.access_hash = n
        yield batch


def resident_memory() -> int:
    """Returns the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def run(count: int) -> None:
    session = RustSQLiteSession("ours")
    memory_sizes, descriptor_counts, file_sizes = [], [], []
    for n, batch in enumerate(batches(count)):
        session.process_entities(batch)
        if n % SAVE_EVERY == 0:
            session.save()
            # Yields to the event loop, as a client does between two updates.
            await asyncio.sleep(0)
        if n == TELETHON_ENTITIES // BATCH:
            await session.flush()
            shutil.copy("ours.session", "ours_then.session")
        if n % (count // BATCH // 10) == 0:
            await session.flush()
            gc.collect()
            file_sizes.append(Path("ours.session").stat().st_size)
            memory_sizes.append(resident_memory())
            descriptor_counts.append(descriptors())
    session.close()
    # A value that grows with each of the ten measurements is a leak. Caches fill during the first
    # ones.
    assert max(memory_sizes[5:]) <= max(memory_sizes[2:5]) * 1.03, memory_sizes
    assert max(descriptor_counts[2:]) == descriptor_counts[2], descriptor_counts
    # A longer row may split a page, in Telethon's file too, but this happens ever less often.
    assert max(file_sizes) <= file_sizes[2] * 1.1, file_sizes


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))

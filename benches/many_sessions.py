"""A thousand sessions in one process: memory, threads and files, and the time to open and to save
them.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession

from common import flush, gc_disabled, in_subprocess, rotated
from dataset import Dataset
from harness import Harness
from memory import resident
from report import Section, at_most, kilobytes, medians, number, seconds, speedup
from telethon_session_rust import RustSQLiteSession

ENTITIES = 20
CHANGED = 5
# Threads are counted after every so many calls of save().
COUNT_EVERY = 20
MAX_THREADS = 8


@dataclass
class Usage:
    """The resources that all sessions of a process use together."""

    opening: float
    first_lookups: float
    memory: int
    saving: float = 0
    threads: int = 0
    files: int = 0

    def count_threads(self, process: psutil.Process) -> None:
        self.threads = max(self.threads, process.num_threads())


def measure(harness: Harness) -> Section:
    count, rounds = harness.scale.sessions, harness.scale.rounds_in_subprocesses
    classes = (SQLiteSession, RustSQLiteSession)
    usages: dict[type, list[Usage]] = defaultdict(list)
    with harness.temporary_folder() as template_folder:
        template = write_template(harness.dataset, template_folder / "template.session")
        for round_number in range(rounds):
            harness.log(f"{count:,} sessions: round {round_number + 1} of {rounds}")
            for cls in rotated(classes, round_number):
                with harness.temporary_folder() as folder:
                    paths = [str(folder / f"{index}.session") for index in range(count)]
                    for path in paths:
                        shutil.copyfile(template, path)
                    usages[cls].append(in_subprocess(use_sessions, cls, paths, harness.dataset))

    def of(cls: type, figure: Callable[[Usage], float]) -> float:
        return median(figure(usage) for usage in usages[cls])

    def both(figure: Callable[[Usage], float]) -> tuple[float, float]:
        return of(SQLiteSession, figure), of(RustSQLiteSession, figure)

    threads = both(lambda usage: usage.threads)
    files = both(lambda usage: usage.files)
    return Section(
        f"{count:,} sessions in one process",
        f"Files with a login and {ENTITIES} entities, in a new process; {CHANGED} entities change before each `save()`"
        f" in the event loop. Memory is measured when all sessions are loaded. {medians(rounds)}",
        [
            speedup("opening them", *both(lambda usage: usage.opening), seconds, 1),
            speedup(
                "opening them, with a lookup in each", *both(lambda usage: usage.opening + usage.first_lookups), seconds
            ),
            speedup("save() on each", *both(lambda usage: usage.saving), seconds, 5),
            speedup("memory of each", *both(lambda usage: usage.memory / count), kilobytes, 2),
            at_most("threads of the process", threads[1], MAX_THREADS, number, threads[0]),
            at_most("open file descriptors", files[1], files[0], number, files[0]),
        ],
    )


def write_template(dataset: Dataset, path: Path) -> Path:
    session = SQLiteSession(str(path))
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(os.urandom(256))
    session.process_entities(dataset.page(0).users[:ENTITIES])
    session.close()
    return path


def use_sessions(cls: type, paths: list[str], dataset: Dataset) -> Usage:
    """Opens, queries, saves and closes all sessions. Call in a new process."""
    # A thousand files and their journals exceed the default limit of some systems.
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    process = psutil.Process()
    changed = dataset.page(0).users[:CHANGED]
    username = next(user.username for user in dataset.page(0).users[:ENTITIES] if user.username)
    memory, files = resident(), process.num_fds()

    with gc_disabled():
        start = time.perf_counter()
        sessions = [cls(path) for path in paths]
        opening = time.perf_counter() - start
        start = time.perf_counter()
        for session in sessions:
            session.get_input_entity(username)
        first_lookups = time.perf_counter() - start
    for session in sessions:
        while cls is RustSQLiteSession and not session._is_loaded():
            time.sleep(0.001)
    usage = Usage(opening, first_lookups, resident() - memory)
    usage.count_threads(process)
    with gc_disabled():
        asyncio.run(save_all(sessions, changed, process, usage))
    # Count when nothing is written, because journals and folders are open only briefly.
    usage.files = process.num_fds() - files
    for session in sessions:
        session.close()
    return usage


async def save_all(sessions: list[Any], changed: list[Any], process: psutil.Process, usage: Usage) -> None:
    for user in changed:
        user.first_name += " the Second"
    for index, session in enumerate(sessions):
        session.process_entities(changed)
        if index % COUNT_EVERY == 0:
            usage.count_threads(process)
        start = time.perf_counter()
        session.save()
        usage.saving += time.perf_counter() - start
    await asyncio.gather(*(flush(session) for session in sessions))
    usage.count_threads(process)

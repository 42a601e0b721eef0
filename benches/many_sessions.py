"""A thousand sessions in one process: what they take of it, and how long they take to open and to save."""

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

from memory import resident
from people import People
from report import Theme, faster, kilobytes, medians, number, seconds, within
from sides import in_child, quiet, settle, turns
from stage import Stage
from telethon_session_rust import RustSQLiteSession

ENTITIES = 20
CHANGED = 5
# How often threads are counted while all save.
LOOK_EVERY = 20
THREADS = 8


@dataclass
class Taken:
    """What all the sessions of a process took."""

    opening: float
    first_lookups: float
    memory: int
    saving: float = 0
    threads: int = 0
    files: int = 0

    def look(self, process: psutil.Process) -> None:
        self.threads = max(self.threads, process.num_threads())


def measure(stage: Stage) -> Theme:
    count, rounds = stage.scale.sessions, stage.scale.rounds_in_children
    classes = (SQLiteSession, RustSQLiteSession)
    found: dict[type, list[Taken]] = defaultdict(list)
    with stage.room() as room:
        template = write_template(stage.people, room / "template.session")
        for round_number in range(rounds):
            stage.say(f"{count:,} sessions: round {round_number + 1} of {rounds}")
            for cls in turns(classes, round_number):
                with stage.room() as folder:
                    paths = [str(folder / f"{index}.session") for index in range(count)]
                    for path in paths:
                        shutil.copyfile(template, path)
                    found[cls].append(in_child(live, cls, paths, stage.people))

    def of(cls: type, what: Callable[[Taken], float]) -> float:
        return median(what(taken) for taken in found[cls])

    def both(what: Callable[[Taken], float]) -> tuple[float, float]:
        return of(SQLiteSession, what), of(RustSQLiteSession, what)

    threads = both(lambda taken: taken.threads)
    files = both(lambda taken: taken.files)
    return Theme(
        f"{count:,} sessions in one process",
        f"Files with a login and {ENTITIES} entities, in a process of their own; {CHANGED} entities change before a"
        f" `save()` in the event loop. Memory is taken when all is loaded. {medians(rounds)}",
        [
            faster("to open them", *both(lambda taken: taken.opening), seconds, 1),
            faster("to open them and look somebody up in each", *both(lambda t: t.opening + t.first_lookups), seconds),
            faster("save() on each", *both(lambda taken: taken.saving), seconds, 5),
            faster("memory of each", *both(lambda taken: taken.memory / count), kilobytes, 2),
            within("threads of the process", threads[1], THREADS, number, threads[0]),
            within("file descriptors that they keep open", files[1], files[0], number, files[0]),
        ],
    )


def write_template(people: People, path: Path) -> Path:
    session = SQLiteSession(str(path))
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(os.urandom(256))
    session.process_entities(people.page(0).users[:ENTITIES])
    session.close()
    return path


def live(cls: type, paths: list[str], people: People) -> Taken:
    """To be called in a process of its own."""
    # A thousand files and their journals are more than some systems allow unasked.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    process = psutil.Process()
    changed = people.page(0).users[:CHANGED]
    username = next(user.username for user in people.page(0).users[:ENTITIES] if user.username)
    memory, files = resident(), process.num_fds()

    with quiet():
        begun = time.perf_counter()
        sessions = [cls(path) for path in paths]
        opening = time.perf_counter() - begun
        begun = time.perf_counter()
        for session in sessions:
            session.get_input_entity(username)
        first_lookups = time.perf_counter() - begun
    for session in sessions:
        while cls is RustSQLiteSession and not session._is_loaded():
            time.sleep(0.001)
    taken = Taken(opening, first_lookups, resident() - memory)
    taken.look(process)
    with quiet():
        asyncio.run(save_all(sessions, changed, process, taken))
    # Not while something is written: there are journals and folders open then, which nobody can count in time.
    taken.files = process.num_fds() - files
    for session in sessions:
        session.close()
    return taken


async def save_all(sessions: list[Any], changed: list[Any], process: psutil.Process, taken: Taken) -> None:
    for user in changed:
        user.first_name += " the Second"
    for index, session in enumerate(sessions):
        session.process_entities(changed)
        if index % LOOK_EVERY == 0:
            taken.look(process)
        begun = time.perf_counter()
        session.save()
        taken.saving += time.perf_counter() - begun
    await asyncio.gather(*(settle(session) for session in sessions))
    taken.look(process)

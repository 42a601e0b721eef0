"""How long a thread was asleep, which is how long it waited for a lock or a timer, whatever the machine was doing.

What the machine takes is taken off: the kernel says how long a thread waited for a processor, and canaries, processes
that do nothing but sleep on each processor, notice when it stood still.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from support.programs import command

TASKS = Path("/proc/self/task")
# Linux says of each thread how long it ran and how long it waited for a processor.
CAN_TELL = any(TASKS.glob("*/schedstat"))


class Sleep(NamedTuple):
    """A block of code, by `time.monotonic()`, and for how long the thread was asleep in it."""

    begun: float
    ended: float
    asleep: float


def waited() -> float:
    """The seconds that the threads of this process have waited for a processor. It is all of them because a thread
    that waits for a lock waits for its holder's processor too.
    """
    waits = 0
    for file in TASKS.glob("*/schedstat"):
        # A thread may have ended meanwhile.
        with suppress(OSError):
            waits += int(file.read_text().split()[1])
    return waits / 1e9


@contextmanager
def asleep(sleeps: list[Sleep]) -> Iterator[None]:
    """Adds to `sleeps` for how long the thread neither ran nor waited for a processor in this block."""
    queue = waited()
    ran = time.thread_time()
    begun = time.monotonic()
    yield
    ended = time.monotonic()
    ran = time.thread_time() - ran
    sleeps.append(Sleep(begun, ended, ended - begun - ran - (waited() - queue)))


class Canaries:
    """A canary on each processor while the block lasts."""

    def __enter__(self) -> Canaries:
        pipe = subprocess.PIPE
        self._programs = [
            subprocess.Popen(command("canary", processor), stdin=pipe, stdout=pipe, text=True)
            for processor in (sorted(os.sched_getaffinity(0)) if CAN_TELL else [])
        ]
        for program in self._programs:
            assert program.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._stalls = [
            (due, woken)
            for program in self._programs
            for due, woken in (map(float, line.split()) for line in program.communicate()[0].splitlines())
        ]

    def own(self, sleep: Sleep) -> float:
        """The seconds of a sleep that were not the machine's. Call after the block."""
        stalls = (min(woken, sleep.ended) - max(due, sleep.begun) for due, woken in self._stalls)
        return sleep.asleep - sum(seconds for seconds in stalls if seconds > 0)


def switches() -> int:
    """How often this thread has gone to sleep, on Linux: each wait for a lock or a timer is one."""
    status = Path("/proc/thread-self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary"))

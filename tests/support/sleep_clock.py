"""Measures how long a thread slept, that is, waited for a lock or a timer, independently of the
machine's load.

Delays of the machine are subtracted: the kernel reports how long a thread waited for a processor,
and canaries, which are processes that only sleep on each processor, notice when it stalled.
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
# Linux reports for each thread how long it ran and how long it waited for a processor.
IS_SUPPORTED = any(TASKS.glob("*/schedstat"))


class Sleep(NamedTuple):
    """A block of code, by `time.monotonic()`, and how long the thread slept in it."""

    begin: float
    end: float
    seconds: float


def processor_wait() -> float:
    """Returns how many seconds all threads of this process have waited for a processor.

    It includes all threads, because a thread that waits for a lock also waits for its holder's
    processor.
    """
    waits = 0
    for file in TASKS.glob("*/schedstat"):
        # The thread may have ended meanwhile.
        with suppress(OSError):
            waits += int(file.read_text().split()[1])
    return waits / 1e9


@contextmanager
def measure_sleep(sleeps: list[Sleep]) -> Iterator[None]:
    """Appends to `sleeps` how long the thread neither ran nor waited for a processor in this block."""
    wait = processor_wait()
    cpu = time.thread_time()
    begin = time.monotonic()
    yield
    end = time.monotonic()
    cpu = time.thread_time() - cpu
    sleeps.append(Sleep(begin, end, end - begin - cpu - (processor_wait() - wait)))


class Canaries:
    """Runs a canary on each processor within a `with` block."""

    def __enter__(self) -> Canaries:
        pipe = subprocess.PIPE
        self._programs = [
            subprocess.Popen(command("canary", processor), stdin=pipe, stdout=pipe, text=True)
            for processor in (sorted(os.sched_getaffinity(0)) if IS_SUPPORTED else [])
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

    def own_seconds(self, sleep: Sleep) -> float:
        """Returns the seconds of a sleep that the machine did not cause. Call it after the block."""
        stalls = (min(woken, sleep.end) - max(due, sleep.begin) for due, woken in self._stalls)
        return sleep.seconds - sum(seconds for seconds in stalls if seconds > 0)


def switches() -> int:
    """Returns how often this thread has gone to sleep, on Linux. Each wait for a lock or a timer
    counts.
    """
    status = Path("/proc/thread-self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary"))

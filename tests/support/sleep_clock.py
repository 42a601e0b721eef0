"""How long a thread was asleep, which is how long it waited for a lock or a timer, whatever the machine was doing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
# Linux says of each thread how long it ran and how long it waited for a processor.
CAN_TELL = any(TASKS.glob("*/schedstat"))


def waited() -> float:
    """The seconds that the threads of this process have waited for a processor. It is all of them: who waits for a
    lock waits for its holder's processor too.
    """
    waits = 0
    for file in TASKS.glob("*/schedstat"):
        # A thread may have ended meanwhile.
        with suppress(OSError):
            waits += int(file.read_text().split()[1])
    return waits / 1e9


@contextmanager
def asleep(times: list[float]) -> Iterator[None]:
    """Adds to `times` the seconds for which the thread neither ran nor waited for a processor in this block."""
    queue = waited()
    ran = time.thread_time()
    wall = time.perf_counter()
    yield
    wall = time.perf_counter() - wall
    ran = time.thread_time() - ran
    times.append(wall - ran - (waited() - queue))

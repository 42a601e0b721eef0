"""Waits for another thread or process, with a timeout that only ends a hang."""

from __future__ import annotations

import time
from collections.abc import Callable

# Long enough for any machine. A wait ends as soon as its condition holds.
TIMEOUT = 120


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

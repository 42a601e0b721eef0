"""Waiting for what another thread or process does, with a limit that only ends a hang."""

from __future__ import annotations

import time
from collections.abc import Callable

# Long enough for any machine: a wait ends as soon as there is what is waited for.
PATIENCE = 120


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)

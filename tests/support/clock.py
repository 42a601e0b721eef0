"""Determines the second in which a call ran, reliably on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable


def second_of(call: Callable[[], object]) -> int:
    """Calls until a call begins and ends in one second, and returns that second.

    Sessions store the second in which they receive an entity. Receiving it again changes nothing
    else.
    """
    while True:
        second = int(time.time())
        call()
        if int(time.time()) == second:
            return second

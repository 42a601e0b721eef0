"""The second in which something is done, for certain and on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable


def second_of(call: Callable[[], object]) -> int:
    """Calls, and once more whenever the clock has gone on meanwhile, and answers which second it was.

    Sessions stamp entities with the second in which they get them; getting the same ones again changes nothing else.
    """
    while True:
        second = int(time.time())
        call()
        if int(time.time()) == second:
            return second

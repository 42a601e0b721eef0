"""How long a session waits for another program."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for a locked store. Python's `sqlite3`, and so Telethon, waits as long."""

# SQLite keeps milliseconds in 31 bits.
_LONGEST = (2**31 - 1) / 1000


def checked_timeout(timeout: Any) -> float:
    """Returns `timeout` in seconds.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative, infinite or not a number.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    seconds = float(timeout)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"timeout must be a finite number of seconds, 0 or more, not {timeout!r}")
    return min(seconds, _LONGEST)

"""Sleeps for a millisecond again and again on one processor; writes when it was woken late, until standard input ends.

Each line is when it should have been woken and when it was, by `time.monotonic()`.
"""

from __future__ import annotations

import os
import select
import sys
import time

SLEEP = 0.001
# What waking takes on a machine that does nothing else.
USUAL = 0.0002

os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
due = time.monotonic() + SLEEP
while not select.select([sys.stdin], [], [], SLEEP)[0]:
    now = time.monotonic()
    if now - due > USUAL:
        print(due, now)
    due = time.monotonic() + SLEEP

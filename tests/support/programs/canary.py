"""Sleeps for a millisecond repeatedly on one processor, and prints when it was woken late, until
standard input closes.

Each line has the times at which it should have been woken and was woken, by `time.monotonic()`.
"""

from __future__ import annotations

import os
import select
import sys
import time

SLEEP = 0.001
# The usual delay of a wake-up on an idle machine.
USUAL_DELAY = 0.0002

os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
due = time.monotonic() + SLEEP
while not select.select([sys.stdin], [], [], SLEEP)[0]:
    now = time.monotonic()
    if now - due > USUAL_DELAY:
        print(due, now)
    due = time.monotonic() + SLEEP

"""Ends with entities that its file, which has no table for them any more, can never take.

Prints how often the main thread went to sleep meanwhile.
"""

from __future__ import annotations

import atexit

# What is registered first is called last.
atexit.register(lambda: print(switches() - before))

from support import entities  # noqa: E402
from support.sleep_clock import switches  # noqa: E402
from telethon_session_rust import RustSQLiteSession  # noqa: E402

session = RustSQLiteSession("anna")
session._execute("drop table entities")
session.process_entities(entities.crowd(100))
before = switches()

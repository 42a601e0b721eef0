"""Exits with unsaved entities that cannot be written, because the file has no table `entities` any
more.

Prints how often the main thread slept during the exit.
"""

from __future__ import annotations

import atexit

# The function registered first is called last.
atexit.register(lambda: print(switches() - before))

from support import entities  # noqa: E402
from support.sleep_clock import switches  # noqa: E402
from telethon_session_rust import RustSQLiteSession  # noqa: E402

session = RustSQLiteSession("anna")
session._execute("drop table entities")
session.process_entities(entities.crowd(100))
before = switches()

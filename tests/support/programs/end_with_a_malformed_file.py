"""Ends with entities that its file, which has no table for them any more, can never take; prints the end's seconds."""

from __future__ import annotations

import atexit
import time

# What is registered first is called last.
atexit.register(lambda: print(time.monotonic() - end))

from support import entities  # noqa: E402
from telethon_session_rust import RustSQLiteSession  # noqa: E402

session = RustSQLiteSession("anna")
session._execute("drop table entities")
session.process_entities(entities.crowd(100))
end = time.monotonic()

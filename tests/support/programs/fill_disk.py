"""Adds more entities to a session than fit on the disk, and closes it once there is room."""

from __future__ import annotations

import resource
import sqlite3

from support import entities
from telethon_session_rust import RustSQLiteSession

session = RustSQLiteSession("anna")
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, unlimited[1]))
session.process_entities(entities.crowd(3000))
for call in (session.save, session.close):
    try:
        call()
    except sqlite3.OperationalError as error:
        assert "anna.session" in str(error)
    else:
        raise SystemExit("no error")
assert session.get_input_entity("user1").access_hash == -104729
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
session.close()

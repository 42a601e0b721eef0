"""Reads the session `anna` in a folder that this user may not write."""

from __future__ import annotations

import os
import pathlib

from support import entities
from support.unprivileged import NOBODY
from telethon_session_rust import RustSQLiteSession

if os.getuid() == 0:
    # Modes do not apply to root.
    os.setgid(NOBODY)
    os.setuid(NOBODY)
for _ in range(2):
    session = RustSQLiteSession("anna", read_only=True)
    assert session.get_input_entity("user1").access_hash == -104729
    session.process_entities([entities.user(1, 5)])
    session.save()
    session.close()
assert [path.name for path in pathlib.Path().iterdir()] == ["anna.session"]

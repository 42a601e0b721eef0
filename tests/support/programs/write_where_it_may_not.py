"""Makes a path read-only around a session's life: `before` or `after` the session `anna` is opened.

Nothing is lost: when the path may be written again, so is all that the session was given.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import sqlite3
import sys

from support.contents import tell_everything
from support.unprivileged import NOBODY
from telethon_session_rust import RustSQLiteSession

if os.getuid() == 0:
    # To root nothing is read-only.
    os.setgid(NOBODY)
    os.setuid(NOBODY)
path, when = pathlib.Path(sys.argv[1]), sys.argv[2]
said: list[logging.LogRecord] = []
logging.getLogger("telethon_session_rust").addFilter(lambda record: said.append(record) is None)
RustSQLiteSession("anna").close()
mode = path.stat().st_mode
if when == "before":
    session = RustSQLiteSession("anna")
path.chmod(mode & ~0o222)
if when == "after":
    session = RustSQLiteSession("anna")
tell_everything(session)
for call in (session.save, session.close):
    try:
        call()
    except sqlite3.OperationalError as error:
        assert "anna.session" in str(error) and "readonly" in str(error), error
    else:
        raise SystemExit("no error")
assert session.get_input_entity("user1").access_hash == -104729
assert len(said) <= 1, said
path.chmod(mode)
while True:
    try:
        asyncio.run(session.flush())
        break
    except sqlite3.OperationalError:
        pass

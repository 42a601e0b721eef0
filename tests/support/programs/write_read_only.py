"""Makes a path read-only, and opens the session `anna` `before` or `after` that.

Once the path is writable again, all changes of the session are written.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import sqlite3
import sys

from support.contents import populate
from support.unprivileged import NOBODY
from telethon_session_rust import RustSQLiteSession

if os.getuid() == 0:
    # Modes do not apply to root.
    os.setgid(NOBODY)
    os.setuid(NOBODY)
path, when = pathlib.Path(sys.argv[1]), sys.argv[2]
records: list[logging.LogRecord] = []
logging.getLogger("telethon_session_rust").addFilter(lambda record: records.append(record) is None)
RustSQLiteSession("anna").close()
mode = path.stat().st_mode
if when == "before":
    session = RustSQLiteSession("anna")
path.chmod(mode & ~0o222)
if when == "after":
    session = RustSQLiteSession("anna")
populate(session)
for call in (session.save, session.close):
    try:
        call()
    except sqlite3.OperationalError as error:
        assert "anna.session" in str(error) and "readonly" in str(error), error
    else:
        raise SystemExit("no error")
assert session.get_input_entity("user1").access_hash == -104729
assert len(records) <= 1, records
path.chmod(mode)
while True:
    try:
        asyncio.run(session.flush())
        break
    except sqlite3.OperationalError:
        pass

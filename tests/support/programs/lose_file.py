"""Opens `anna.session` with the key in its argument. When a line is read, sets another key, and
exits.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from sqlite3 import OperationalError

from telethon.crypto import AuthKey

from support import entities
from support.contents import KEY
from telethon_session_rust import RustSQLiteSession

session = RustSQLiteSession("anna")
if sys.argv[1]:
    session.auth_key = AuthKey(bytes.fromhex(sys.argv[1]))
session.save()
print("open", flush=True)
sys.stdin.readline()
session.auth_key = KEY
session.process_entities([entities.user(1, 2)])
with suppress(OperationalError):
    session.save()

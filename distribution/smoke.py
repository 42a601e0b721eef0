"""Writes a login and an entity, reads them again, and checks the build options of SQLite from
`.cargo/config.toml`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from telethon.crypto import AuthKey
from telethon.tl.types import InputPeerUser, User

import telethon_session_rust
from telethon_session_rust import RustSQLiteSession, RustStringSession

for module in (telethon_session_rust, telethon_session_rust._core):
    assert Path(module.__file__).is_relative_to(sys.prefix), module
session = RustSQLiteSession("anna")
session.set_dc(2, "127.0.0.1", 443)
session.auth_key = AuthKey(bytes(range(256)))
session.process_entities([User(7, access_hash=8, username="annika")])
session.close()
reopened = RustSQLiteSession("anna")
assert reopened.get_input_entity("annika") == InputPeerUser(7, 8)
string = RustStringSession(RustStringSession.save(reopened))
assert string.auth_key.key == bytes(range(256))
for option, is_enabled in (("OMIT_LOOKASIDE", 0), ("ENABLE_FTS5", 0), ("ENABLE_RTREE", 0), ("DEFAULT_FOREIGN_KEYS", 1)):
    assert reopened._execute("select sqlite_compileoption_used(?)", option) == (is_enabled,), option
reopened.close()

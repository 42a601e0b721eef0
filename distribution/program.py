"""Writes a login and entities, and reads them again, with an SQLite that was built as `.cargo/config.toml` says."""

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
session.process_entities([User(7, access_hash=8, username="somebody")])
session.close()
again = RustSQLiteSession("anna")
assert again.get_input_entity("somebody") == InputPeerUser(7, 8)
string = RustStringSession(RustStringSession.save(again))
assert string.auth_key.key == bytes(range(256))
for option, is_used in (("OMIT_LOOKASIDE", 0), ("ENABLE_FTS5", 0), ("ENABLE_RTREE", 0), ("DEFAULT_FOREIGN_KEYS", 1)):
    assert again._execute("select sqlite_compileoption_used(?)", option) == (is_used,), option
again.close()

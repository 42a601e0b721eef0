"""Imports the module named by the argument first, installs our sessions, and creates a client of
`telethon.sync`.
"""

from __future__ import annotations

import sys
from importlib import import_module

import_module(sys.argv[1])
import telethon_session_rust  # noqa: E402

telethon_session_rust.install()
from telethon.sessions import StringSession  # noqa: E402
from telethon.sync import TelegramClient  # noqa: E402

client = TelegramClient("anon", 1, "hash")
assert type(client.session) is telethon_session_rust.RustSQLiteSession
assert type(StringSession()) is telethon_session_rust.RustStringSession
assert client.is_connected() is False
client.session.set_dc(2, "149.154.167.51", 443)
client.session.save()
client.disconnect()

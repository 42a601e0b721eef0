"""Ends with a transaction of `_conn` that is not committed, and with a session that is not saved."""

from __future__ import annotations

from support.contents import tell_everything
from telethon_session_rust import RustSQLiteSession

session = RustSQLiteSession("anna")
session._conn.execute("create table notes (text)")
session._conn.commit()
session._conn.execute("insert into notes values ('half done')")
tell_everything(session)

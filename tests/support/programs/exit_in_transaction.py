"""Exits with an uncommitted transaction of `_conn` and an unsaved session."""

from __future__ import annotations

from support.contents import populate
from telethon_session_rust import RustSQLiteSession

session = RustSQLiteSession("anna")
session._conn.execute("create table notes (text)")
session._conn.commit()
session._conn.execute("insert into notes values ('half done')")
populate(session)

"""Keeps `anna.session` open with `exclusive=True` until standard input closes."""

from __future__ import annotations

import sys

from telethon_session_rust import RustSQLiteSession

session = RustSQLiteSession("anna", exclusive=True)
print("open", flush=True)
sys.stdin.read()

"""Ours for everybody: `TelegramClient("anon")` and `from telethon.sessions import SQLiteSession` give our classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import telethon.sessions

from .entity_cache import TELETHONS_CACHE, RustEntityCache, can_stand_in
from .memory import RustMemorySession
from .sqlite import RustSQLiteSession
from .string import RustStringSession

# Telethon's class and ours.
_SESSIONS: list[tuple[type, type]] = [
    (telethon.sessions.MemorySession, RustMemorySession),
    (telethon.sessions.SQLiteSession, RustSQLiteSession),
    (telethon.sessions.StringSession, RustStringSession),
]


def install() -> None:
    """Puts our classes in the place of Telethon's, for whoever imports them or makes a client from now on.

    No other code has to be changed: call it before that is imported. Clients and sessions that there are stay as they
    are. Clients that are made later have a `RustEntityCache` too. To call it again does nothing.
    """
    _replace(_SESSIONS)
    if TELETHONS_CACHE is not None and can_stand_in():
        _replace([(TELETHONS_CACHE, RustEntityCache)])


def uninstall() -> None:
    """Takes `install` back. Clients and sessions that there are stay as they are."""
    _replace((ours, theirs) for theirs, ours in _SESSIONS)
    if TELETHONS_CACHE is not None:
        _replace([(RustEntityCache, TELETHONS_CACHE)])


def _replace(pairs: Iterable[tuple[type, type]]) -> None:
    """Gives each name in Telethon's own modules that means the first class to the second."""
    by = dict(pairs)
    for name, module in list(sys.modules.items()):
        if name == "telethon" or name.startswith("telethon."):
            for attribute, value in list(vars(module).items()):
                if isinstance(value, type) and value in by:
                    setattr(module, attribute, by[value])

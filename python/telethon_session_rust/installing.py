"""`install()`: makes `TelegramClient("anon")` and `telethon.sessions.SQLiteSession` use the classes
of this package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import telethon.sessions

from . import tl_reader
from .entity_cache import TELETHONS_CACHE, RustEntityCache, can_stand_in
from .memory import RustMemorySession
from .sqlite import RustSQLiteSession
from .string import RustStringSession

# Telethon's classes and their replacements.
_SESSIONS: list[tuple[type, type]] = [
    (telethon.sessions.MemorySession, RustMemorySession),
    (telethon.sessions.SQLiteSession, RustSQLiteSession),
    (telethon.sessions.StringSession, RustStringSession),
]


def install(*, reader: bool = True) -> None:
    """Replaces Telethon's session classes, for all code that imports them or makes a client from
    now on.

    Call it before other code that uses Telethon is imported; that code needs no change. Existing
    clients and sessions stay as they are. New clients also use a `RustEntityCache`. Calling it
    again has no effect.

    Args:
        reader: Whether what is received is read natively, by all clients of the process; see
            `telethon_session_rust.tl_reader`. With `False`, Telethon's reader stays as it is.
    """
    _replace(_SESSIONS)
    if TELETHONS_CACHE is not None and can_stand_in():
        _replace([(TELETHONS_CACHE, RustEntityCache)])
    if reader:
        tl_reader.enable()


def uninstall() -> None:
    """Undoes `install()`. Existing clients and sessions stay as they are, but use Telethon's reader
    again.
    """
    tl_reader.disable()
    _replace((ours, theirs) for theirs, ours in _SESSIONS)
    if TELETHONS_CACHE is not None:
        _replace([(RustEntityCache, TELETHONS_CACHE)])


def _replace(pairs: Iterable[tuple[type, type]]) -> None:
    """Replaces, in Telethon's own modules, the first class of each pair by the second."""
    by = dict(pairs)
    for name, module in list(sys.modules.items()):
        if name == "telethon" or name.startswith("telethon."):
            for attribute, value in list(vars(module).items()):
                if isinstance(value, type) and value in by:
                    setattr(module, attribute, by[value])

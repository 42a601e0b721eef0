"""Prepares Telethon's clients for the loopback data centres."""

from __future__ import annotations

import inspect
from typing import TypeVar

from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.sessions import Session

S = TypeVar("S", bound=Session)


def trust(public_key_pem: str) -> None:
    """Makes Telethon accept the data centres' key, and forget the addresses of other data centres.

    Telethon stores the addresses in a class attribute, for the whole process.
    """
    options = {"old": False} if "old" in inspect.signature(rsa.add_key).parameters else {}
    rsa.add_key(public_key_pem, **options)
    TelegramClient._config = None


def at_home(session: S, dc_id: int, host: str, port: int) -> S:
    """Sets the data centre of a session that has none yet."""
    if not session.server_address:
        session.set_dc(dc_id, host, port)
    return session

"""What a process needs in order to talk to loopback data centres with Telethon."""

from __future__ import annotations

import inspect
from typing import TypeVar

from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.sessions import Session

S = TypeVar("S", bound=Session)


def trust(public_key_pem: str) -> None:
    """Let Telethon accept these data centres, and forget where it found others before.

    Telethon keeps the addresses of data centres for the whole process, in the class.
    """
    options = {"old": False} if "old" in inspect.signature(rsa.add_key).parameters else {}
    rsa.add_key(public_key_pem, **options)
    TelegramClient._config = None


def at_home(session: S, dc_id: int, host: str, port: int) -> S:
    """Point a session that knows no data centre yet to the one it should first connect to."""
    if not session.server_address:
        session.set_dc(dc_id, host, port)
    return session

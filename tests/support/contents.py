"""Data that tests put into a session, and checks that it is on disk."""

from __future__ import annotations

from typing import Any

from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities
from support.files import on_disk

KEY, OTHER_KEY = (AuthKey(bytes((seed * n + 1) % 256 for n in range(256))) for seed in (3, 5))
STATE = types.updates.State(1, 2, entities.DATE, 3, 0)


def populate(session: Any) -> None:
    session.process_entities(entities.crowd(100))
    session.set_update_state(0, STATE)
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))


def everything_is_on_disk(path: str = "anna.session") -> bool:
    return [len(on_disk(table, path)) for table in ("entities", "update_state", "sent_files")] == [100, 1, 1]


def add_numbered(session: Any, number: int) -> None:
    """Adds an entity, an update state and a sent file that contain this number."""
    session.process_entities([entities.user(1, number, username="numbered")])
    session.set_update_state(0, types.updates.State(number, 1, entities.DATE, 1, 0))
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, number, b""))

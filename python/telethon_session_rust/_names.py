"""The names of session files."""

from __future__ import annotations

import os

from telethon.sessions.sqlite import EXTENSION


def file_name(session_id: str | os.PathLike[str]) -> str:
    """Returns the name of a session's file, which may be given without its extension."""
    name = os.fspath(session_id)
    return name if name.endswith(EXTENSION) else name + EXTENSION

"""`await session.backup(path)`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from telethon.sessions.sqlite import CURRENT_VERSION

from ._core import BackupStop
from ._names import file_name

if TYPE_CHECKING:
    from .memory import RustMemorySession

# Data centre, address, port, key, takeout ID and temporary key.
_Login: TypeAlias = tuple[int, str | None, int | None, bytes, int | None, bytes]
# The login, pairs of ID and `updates.State`, and sent files as `_files` has them.
Parts: TypeAlias = tuple[_Login, list[tuple[int, Any]], dict[Any, tuple[int, int]]]

# ID, `pts`, `qts`, date and `seq`.
_State: TypeAlias = tuple[int, int | None, int | None, float | None, int | None]
# MD5 digest, size, kind, ID and access hash.
_SentFile: TypeAlias = tuple[bytes, int, int, int, int]
# The same as rows of a file.
Rows: TypeAlias = tuple[_Login, list[_State], list[_SentFile]]


async def back_up(session: RustMemorySession, path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Copies a session to a new file, in a thread of its own."""
    target = Path(file_name(path)).absolute()
    own = session._own_file()
    if own is not None and own.exists() and target.exists() and own.samefile(target):
        raise ValueError(f"{target} is the session's own file: a backup needs another name")
    stop = BackupStop()
    try:
        await asyncio.to_thread(session._back_up, target, overwrite, CURRENT_VERSION, session._keeps_login(), stop)
    except BaseException:
        # The thread goes on, without a task that waits for it.
        stop.stop()
        raise
    return target


def to_rows(parts: Parts) -> Rows:
    """Returns what only Python knows of a session as a file holds it."""
    login, states, files = parts
    sent_files = [(digest, size, kind.value, *file) for (digest, size, kind), file in files.items()]
    return login, [_state_row(entity_id, state) for entity_id, state in states], sent_files


def _state_row(entity_id: int, state: Any) -> _State:
    return entity_id, state.pts, state.qts, state.date.timestamp() if state.date else None, state.seq

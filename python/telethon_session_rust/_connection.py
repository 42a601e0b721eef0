"""Python's own `sqlite3` on the file of a session, for code that uses Telethon's `_conn` and
`_cursor()`.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import sys
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ._core import leak

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self


# POSIX locks belong to the process: Python's copy of SQLite and ours would drop each other's. On
# Linux our locks belong to the open file, and on Windows all locks do.
CAN_SHARE = sys.platform in ("linux", "win32")


class Cursor(sqlite3.Cursor):
    """A cursor that reads all its rows when it executes. A half-read result would keep the file
    locked, so that the session could not write to it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._unread: deque[Any] = deque()

    def execute(self, *args: Any) -> Self:
        self._unread.clear()
        super().execute(*args)
        self._unread.extend(super().fetchall())
        return self

    def executemany(self, *args: Any) -> Self:
        self._unread.clear()
        super().executemany(*args)
        return self

    def executescript(self, *args: Any) -> Self:
        self._unread.clear()
        super().executescript(*args)
        return self

    def __next__(self) -> Any:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def fetchone(self) -> Any:
        return self._unread.popleft() if self._unread else super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        size = self.arraysize if size is None else size
        # If the cursor was closed or never executed, sqlite3 raises its own error.
        rows = [] if self._unread else super().fetchmany(size)
        while self._unread and len(rows) < size:
            rows.append(self._unread.popleft())
        return rows

    def fetchall(self) -> list[Any]:
        rows = [*self._unread, *super().fetchall()]
        self._unread.clear()
        return rows

    def close(self) -> None:
        self._unread.clear()
        super().close()


class Connection(sqlite3.Connection):
    """A connection whose cursors leave no result half read."""

    def cursor(self, factory: Any = Cursor) -> Any:
        return super().cursor(factory)


def connect(path: Path, timeout: float) -> sqlite3.Connection:
    """Connects to an existing session file. Does not create one that was deleted."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", timeout=timeout, check_same_thread=False, factory=Connection, uri=True
    )
    # So that a replaced key is nowhere in the file, as with the session's own connection.
    connection.execute("pragma secure_delete = on")
    return connection


def is_open(connection: sqlite3.Connection) -> bool:
    """Returns `True` if the connection was not closed."""
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


def milliseconds(connection: sqlite3.Connection) -> int:
    """Returns how many milliseconds the connection waits for locks."""
    return int(_first_row(connection, "pragma busy_timeout")[0])


def is_plainly_on(connection: object, path: Path) -> bool:
    """Returns `True` if it is Python's own `sqlite3` on a session file and reads there what any
    program would.
    """
    if not isinstance(connection, sqlite3.Connection):
        return False
    try:
        files = [row[2] for row in _rows(connection, "pragma database_list") if row[1] == "main"]
        if not (files and files[0] and Path(files[0]).samefile(path)):
            return False
        return _first_row(connection, "select version from version") is not None
    except sqlite3.OperationalError as error:
        # A locked file may well be a plain one.
        return "locked" in str(error)
    except (sqlite3.Error, OSError):
        return False


def _rows(connection: sqlite3.Connection, statement: str) -> Iterable[Any]:
    cursor = connection.cursor()
    cursor.row_factory = None
    try:
        return cursor.execute(statement).fetchall()
    finally:
        cursor.close()


def _first_row(connection: sqlite3.Connection, statement: str) -> Any:
    return next(iter(_rows(connection, statement)), None)


class SharingSession(Protocol):
    """A session that has handed out a connection."""

    _handed_out: sqlite3.Connection | None

    def _end_sharing(self) -> None: ...


# By ID, because a subclass may override comparison.
_sharing: weakref.WeakValueDictionary[int, SharingSession] = weakref.WeakValueDictionary()


def note_sharing(session: SharingSession) -> None:
    """Notes a session that has handed out a connection, for a fork and for the end of the program."""
    _sharing[id(session)] = session


def _after_fork_in_child() -> None:
    """Forgets connections: closing the parent's would roll back the parent's transaction in the
    file.
    """
    for session in list(_sharing.values()):
        leak(session._handed_out)
        session._handed_out = None
        session._end_sharing()
    _sharing.clear()


def _at_exit() -> None:
    """Rolls back what was not committed, as `sqlite3` does; an open transaction would prevent
    sessions from being saved.
    """
    for session in list(_sharing.values()):
        if session._handed_out is not None:
            with suppress(sqlite3.Error):
                session._handed_out.rollback()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
# Called before the hook of `_core`, which was registered earlier and saves all sessions.
atexit.register(_at_exit)

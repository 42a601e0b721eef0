"""Python's own `sqlite3` on the file of a session, for code that uses Telethon's `_conn` and `_cursor()`."""

from __future__ import annotations

import atexit
import math
import os
import sqlite3
import sys
import weakref
from collections import deque
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._core import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from .sqlite import RustSQLiteSession

DEFAULT_TIMEOUT = 5.0
"""The seconds for which a locked file is waited for. Python's `sqlite3`, and so Telethon, waits as long."""

# SQLite keeps milliseconds in 31 bits.
_LONGEST = (2**31 - 1) / 1000

# Locks of POSIX belong to the process: there Python's copy of SQLite would drop the locks of ours, and ours those of
# Python's. On Linux ours belong to the open file, on Windows both do.
CAN_SHARE = sys.platform in ("linux", "win32")


def checked_timeout(timeout: Any) -> float:
    """`timeout` as seconds. Raises `TypeError` or `ValueError` if it is not a number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    seconds = float(timeout)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"timeout must be a finite number of seconds, 0 or more, not {timeout!r}")
    return min(seconds, _LONGEST)


class Cursor(sqlite3.Cursor):
    """A cursor that reads all its rows when it executes: a result that is left half read would keep the file locked,
    and the session from writing to it.
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
        # `None` is read from what was closed, or not executed, as an error.
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
    """A connection whose cursors leave nothing half read."""

    def cursor(self, factory: Any = Cursor) -> Any:
        return super().cursor(factory)


def connect(path: Path, timeout: float) -> sqlite3.Connection:
    """Connects to a session file that is there; one that was taken away is not made anew."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", timeout=timeout, check_same_thread=False, factory=Connection, uri=True
    )
    # A replaced key is nowhere in the file then, as with the session's own connection.
    connection.execute("pragma secure_delete = on")
    return connection


def is_open(connection: sqlite3.Connection) -> bool:
    """Whether it was not closed."""
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


def milliseconds(connection: sqlite3.Connection) -> int:
    """How long it waits for locks."""
    return int(_first_row(connection, "pragma busy_timeout")[0])


def is_plainly_on(connection: object, path: Path) -> bool:
    """Whether it is Python's own `sqlite3` on a session file, in which it reads what any other program would."""
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


# By their ids, as a subclass may compare sessions in its own way.
_sharing: weakref.WeakValueDictionary[int, RustSQLiteSession] = weakref.WeakValueDictionary()


def note_sharing(session: RustSQLiteSession) -> None:
    """Remembers a session that has handed out a connection, for a fork and for the end of the program."""
    _sharing[id(session)] = session


def _after_fork_in_child() -> None:
    """To close the parent's connection would roll back the parent's transaction, in the file."""
    for session in list(_sharing.values()):
        keep_for_ever(session._handed_out)
        session._handed_out = None
        session._end_sharing()
    _sharing.clear()


def _at_exit() -> None:
    """What was not committed is rolled back, as ever; an open transaction would keep sessions from being saved."""
    for session in list(_sharing.values()):
        if session._handed_out is not None:
            with suppress(sqlite3.Error):
                session._handed_out.rollback()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
# Called before that of `_core`, which was registered earlier and saves all sessions.
atexit.register(_at_exit)

"""The exceptions of the sessions.

Each is a `SessionError`. The exceptions of session files are also those of Python's `sqlite3`, so
code that catches the errors of Telethon's `SQLiteSession` catches them too.
"""

from __future__ import annotations

import sqlite3

__all__ = [
    "SessionCorruptError",
    "SessionError",
    "SessionFileCorruptError",
    "SessionFileInUseError",
    "SessionFileLockedError",
    "SessionFileLostError",
    "SessionFileUnavailableError",
    "SessionFileUnsavedError",
    "SessionFileUpgradeError",
    "SessionInUseError",
    "SessionLockedError",
    "SessionLostError",
    "SessionOwnerError",
    "SessionUnavailableError",
    "SessionUnsavedError",
    "SessionUpgradeError",
]


class SessionError(Exception):
    """A session cannot be read, written or opened.

    Attributes:
        place: The session file, or the server and the session's name there; empty if it is not
            known. Never holds a password.
    """

    def __init__(self, message: str = "", place: str = "") -> None:
        super().__init__(message)
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.place)


class SessionLockedError(SessionError):
    """Another program holds the session for longer than its `timeout`. Nothing is lost; retry
    later.
    """


class SessionInUseError(SessionError):
    """The session was opened with `exclusive=True`, and another session has it open so already.

    Attributes:
        filename: The session file; empty for a string.
        pid: The ID of the process that has it open: that of this process if it is another session
            of this program; 0 if the system does not tell.
    """

    def __init__(self, message: str = "", filename: str = "", pid: int = 0) -> None:
        super().__init__(message, str(filename))
        self.filename: str = self.place
        self.pid = pid

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.filename, self.pid)


class SessionLostError(SessionError):
    """What is stored was deleted, moved or replaced, or holds another login now. Nothing is written
    to it.
    """


class SessionOwnerError(SessionError, ValueError):
    """The entity file of a string session is another account's, or it is not known yet whether it is
    this one's. Nothing is read from it or written to it.
    """


class SessionCorruptError(SessionError):
    """What is stored is not a session, is damaged, was written by a newer version than this release
    supports, or is encrypted with another `encryption_key`.
    """


class SessionUpgradeError(SessionError):
    """A session of an older version cannot be upgraded. It stays as it was."""


class SessionUnavailableError(SessionError):
    """The session cannot be opened, read or written: the disk is full, access is denied, the server
    is unreachable.
    """


class SessionUnsavedError(SessionError):
    """`close()` waited as long as it may. The message says what is unsaved; `close()` can be called
    again.
    """


class SessionFileLockedError(SessionLockedError, sqlite3.OperationalError):
    """A `SessionLockedError` of a session file ("database is locked")."""


class SessionFileInUseError(SessionInUseError, sqlite3.OperationalError):
    """A `SessionInUseError` of a session file."""


class SessionFileLostError(SessionLostError, sqlite3.OperationalError):
    """A `SessionLostError` of a session file."""


class SessionFileCorruptError(SessionCorruptError, sqlite3.DatabaseError):
    """A `SessionCorruptError` of a session file."""


class SessionFileUpgradeError(SessionUpgradeError, sqlite3.OperationalError, sqlite3.IntegrityError):
    """A `SessionUpgradeError` of a session file."""


class SessionFileUnavailableError(SessionUnavailableError, sqlite3.OperationalError):
    """A `SessionUnavailableError` of a session file."""


class SessionFileUnsavedError(SessionUnsavedError, sqlite3.OperationalError):
    """A `SessionUnsavedError` of a session file."""

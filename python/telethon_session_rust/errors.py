"""The errors that Telethon's sessions do not have."""

from __future__ import annotations

import sqlite3


class SessionInUseError(sqlite3.OperationalError):
    """A session was to be opened with `exclusive=True`, and somebody else has it open so already.

    `filename` is the session file, `pid` the number of the process that has it: this one's own if it is another session
    of this program, 0 where the system does not tell.
    """

    def __init__(self, message: str, filename: str = "", pid: int = 0) -> None:
        super().__init__(message, filename, pid)
        self.filename: str = str(filename)
        self.pid = pid

    def __str__(self) -> str:
        return str(self.args[0])

"""The sessions that the demo compares: Telethon's or the community's, and ours, in each kind of store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telethon.sessions import SQLiteSession

from support.servers import community
from telethon_session_rust import RustSQLiteSession, open_session

_OURS = {
    "file": "RustSQLiteSession",
    "redis": "RustRedisSession",
    "postgres": "RustSQLSession",
    "mysql": "RustSQLSession",
    "mongodb": "RustMongoSession",
}


@dataclass(frozen=True)
class Side:
    """A session that can be opened in any process.

    Attributes:
        store: The kind of store.
        is_ours: Whether it is a session of this package.
        location: The path of the file, or the URL of the server's database.
    """

    store: str
    is_ours: bool
    location: str

    @property
    def name(self) -> str:
        return _OURS[self.store] if self.is_ours else community.PACKAGES.get(self.store, "SQLiteSession")

    def open(self) -> Any:
        """Opens the session."""
        if self.store == "file":
            return (RustSQLiteSession if self.is_ours else SQLiteSession)(self.location)
        return (
            open_session(f"{self.location}#anon") if self.is_ours else community.open_session(self.store, self.location)
        )


def file_sides(folder: Path) -> tuple[Side, Side]:
    """Returns Telethon's side and ours, each with a file in a folder."""
    return Side("file", False, str(folder / "telethon")), Side("file", True, str(folder / "anon"))

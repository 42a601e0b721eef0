"""The session that is kept in a `.session` file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION, EXTENSION

from ._core import SQLiteCore
from .memory import RustMemorySession


def file_name(session_id: str | os.PathLike[str]) -> str:
    """The name of a session's file, which may be given without its ending."""
    name = os.fspath(session_id)
    return name if name.endswith(EXTENSION) else name + EXTENSION


class RustSQLiteSession(SQLiteCore, RustMemorySession):
    """A session in a file, in the place of `telethon.sessions.SQLiteSession`, and the same file.

    Whoever has the file is logged in: never give it away. A new one is readable by its owner only.

    Entities, update states and sent files are in memory at once and on disk about a second later, written by a thread
    of its own. `save()` writes data centre, keys and takeout id before it returns; outside a running event loop it
    writes everything. `close()`, the end of the program and the end of the last reference to the session write
    everything.
    """

    def __init__(
        self,
        session_id: str | os.PathLike[str] | None = None,
        store_tmp_auth_key_on_disk: bool = False,
        *,
        exclusive: bool = False,
    ) -> None:
        """Opens the session, making the file or upgrading it to the installed Telethon's version if need be.

        `session_id` is the file's name, with or without `.session`; without a name nothing is kept but in memory.

        `exclusive` keeps out whoever else asks for it too, in this program or another, until `close()` or the end of
        the program, however it ends: Telegram may revoke a key that is used from two places at once. Who does not ask
        for it, such as Telethon's own session, is not kept out.

        Raises `sqlite3.DatabaseError` (for a locked file its subclass `sqlite3.OperationalError`), naming the file, if
        it cannot be opened, and `SessionInUseError` if it is `exclusive` to somebody else.
        """
        super().__init__()
        self.filename: str = ":memory:"
        self.save_entities = True
        self.store_tmp_auth_key_on_disk = store_tmp_auth_key_on_disk
        if session_id:
            self.filename = file_name(session_id)
        login = self._open(self.filename if session_id else None, CURRENT_VERSION, bool(exclusive))
        if login is not None:
            self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key = login
            self._auth_key = AuthKey(data=key)
            self._tmp_auth_key = AuthKey(data=tmp_key)

    def clone(self, to_instance: Any = None) -> Any:
        """Answers `to_instance`, or a new session in memory, for a connection to another data centre."""
        cloned = super().clone(to_instance)
        cloned.save_entities = self.save_entities
        return cloned

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Says which data centre to connect to. The keys stay those that the file holds."""
        super().set_dc(dc_id, server_address, port)
        self._update_session_table()
        key, tmp_key = self._stored_keys()
        self._auth_key = AuthKey(data=key) if key else None
        self._tmp_auth_key = AuthKey(data=tmp_key) if tmp_key else None

    @property
    def auth_key(self) -> Any:
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. Whoever has it is logged in."""
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        self._auth_key = value
        self._update_session_table()

    @property
    def tmp_auth_key(self) -> Any:
        """The temporary `telethon.crypto.AuthKey`, or `None`; written to the file only if the session was told to."""
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value
        self._update_session_table()

    @property
    def takeout_id(self) -> int | None:
        """The id of the takeout that is not finished, or `None`."""
        return self._takeout_id

    @takeout_id.setter
    def takeout_id(self, value: int | None) -> None:
        self._takeout_id = value
        self._update_session_table()

    @classmethod
    def list_sessions(cls) -> list[str]:
        """The names, without `.session`, of the session files in the current folder."""
        return [path.stem for path in Path().iterdir() if path.name.endswith(EXTENSION)]

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(f"a {type(self).__name__} cannot be copied: open its file again, or use a string session")

    def _is_stored(self) -> bool:
        """Whether the entities are stored; also before the file is opened, as a subclass may set `_entities` then."""
        return True

    def _update_session_table(self) -> None:
        """Takes over the attributes that stand for the table `sessions`; the next `save()` writes them."""
        key, tmp_key = self._stored_keys()
        self._set_credentials(self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key)

    def _stored_keys(self) -> tuple[bytes, bytes]:
        key = self._auth_key.key if self._auth_key else b""
        tmp_key = self._tmp_auth_key.key if self.store_tmp_auth_key_on_disk and self._tmp_auth_key else b""
        return key, tmp_key


SQLiteSession.register(RustSQLiteSession)

"""The base of sessions with a store: what they have in common besides where they are stored."""

from __future__ import annotations

from typing import Any

from telethon.crypto import AuthKey

from ._backup import Parts
from ._core import StoredCore
from ._timeout import checked_timeout
from .memory import RustMemorySession


class StoredSession(StoredCore, RustMemorySession):
    """A session with a store. Setting a data centre, a key or a takeout ID changes the stored
    credentials.

    Attributes:
        store_tmp_auth_key_on_disk: Whether the temporary key is stored too. A change takes effect
            with the next change of the credentials.
    """

    store_tmp_auth_key_on_disk: bool = False

    def __init__(self, timeout: float, max_entities: int | None) -> None:
        super().__init__(max_entities=max_entities)
        self._timeout = checked_timeout(timeout)
        self.save_entities = True

    def clone(self, to_instance: Any = None) -> Any:
        """Returns `to_instance`, or a new session in memory, for a connection to another data
        centre.
        """
        cloned = super().clone(to_instance)
        cloned.save_entities = self.save_entities
        return cloned

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Sets the data centre to connect to. The keys become those that are stored.

        Args:
            dc_id: The ID of the data centre.
            server_address: Its IP address.
            port: Its port.
        """
        super().set_dc(dc_id, server_address, port)
        self._update_session_table()
        key, tmp_key = self._stored_keys()
        self._auth_key = AuthKey(data=key) if key else None
        self._tmp_auth_key = AuthKey(data=tmp_key) if tmp_key else None

    @property
    def auth_key(self) -> Any:
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. It gives access to the
        account.
        """
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        self._auth_key = value
        self._update_session_table()

    @property
    def tmp_auth_key(self) -> Any:
        """The temporary `telethon.crypto.AuthKey`, or `None`. Stored only if
        `store_tmp_auth_key_on_disk` is true.
        """
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value
        self._update_session_table()

    @property
    def takeout_id(self) -> int | None:
        """The ID of the unfinished takeout, or `None`."""
        return self._takeout_id

    @takeout_id.setter
    def takeout_id(self, value: int | None) -> None:
        self._takeout_id = value
        self._update_session_table()

    def _adopt(self, credentials: tuple[int, str | None, int | None, bytes, int | None, bytes] | None) -> None:
        """Takes over the stored credentials, if there are any."""
        if credentials is not None:
            self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key = credentials
            self._auth_key = AuthKey(data=key)
            self._tmp_auth_key = AuthKey(data=tmp_key)

    def _update_session_table(self) -> None:
        """Takes over the attributes that make up the credentials. The next `save()` stores them."""
        self._set_credentials(*self._login_row())

    def _backup_parts(self) -> Parts:
        return self._login_row(), [], {}

    def _login_row(self) -> Any:
        key, tmp_key = self._stored_keys()
        return self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key

    def _stored_keys(self) -> tuple[bytes, bytes]:
        key = self._auth_key.key if self._auth_key else b""
        tmp_key = self._tmp_auth_key.key if self.store_tmp_auth_key_on_disk and self._tmp_auth_key else b""
        return key, tmp_key

    def save(self) -> None:
        """Writes data centre, keys and takeout ID. In a running event loop the rest is left to the
        background; outside one it is written too. Encrypts keys that are stored as they are, or
        encrypted with an older key.

        Raises:
            SessionLockedError: The credentials have changed, and another program holds the store
                for longer than the session's `timeout`. They stay in memory.
            SessionLostError: The store holds another login by now. Nothing is written.
            SessionUnavailableError: The store cannot be written. What is unsaved stays in memory.
        """
        if self._is_outdated():
            self._update_session_table()
        super().save()

    def _is_stored(self) -> bool:
        """Returns `True`, also before the store is opened, because a subclass may set `_entities`
        then.
        """
        return True

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(f"a {type(self).__name__} cannot be copied: open it again, or use a string session")

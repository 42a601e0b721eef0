"""The base of sessions on a server."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from telethon import utils

from ._core import RemoteCore, Unanswered, list_sessions
from ._encryption import EncryptionKey
from ._timeout import DEFAULT_TIMEOUT, checked_timeout
from .memory import RustMemorySession
from .stored import StoredSession

if TYPE_CHECKING:
    from typing_extensions import Self

# Since 1.41, Telethon's client awaits what `get_input_entity` returns.
_AWAITS_LOOKUPS = hasattr(utils, "maybe_async")


class RemoteSession(RemoteCore, StoredSession):
    """A session on a server.

    Entities, update states and sent files are in memory at once, and on the server about a second
    later, written by a background thread. `save()` writes data centre, keys and takeout ID before it
    returns.
    """

    _kind: ClassVar[str]

    def __init__(
        self,
        url: str,
        session_name: str,
        *,
        exclusive: bool,
        timeout: float,
        encryption_key: EncryptionKey | None,
        max_entities: int | None,
    ) -> None:
        super().__init__(timeout, max_entities)
        if not isinstance(session_name, str):
            raise TypeError(f"the session's name must be a str, not {type(session_name).__name__}")
        if not session_name:
            raise ValueError("the session's name must not be empty")
        self._session_name = session_name
        self._adopt(self._open(self._kind, url, session_name, exclusive, self._timeout, encryption_key))

    def _adopt(self, credentials: Any) -> None:
        super()._adopt(credentials)
        # An `AuthKey` without a key, as a file's session has it, is of no use.
        self._auth_key = self._auth_key if self._auth_key and self._auth_key.key else None
        self._tmp_auth_key = self._tmp_auth_key if self._tmp_auth_key and self._tmp_auth_key.key else None

    @property
    def session_name(self) -> str:
        """The name of the session on the server."""
        return self._session_name

    @classmethod
    async def open(cls, *args: Any, **kwargs: Any) -> Self:
        """Opens the session without blocking the event loop. Takes the arguments of the class."""
        return await asyncio.to_thread(cls, *args, **kwargs)

    @classmethod
    def _list(cls, url: str, timeout: float) -> list[str]:
        return list_sessions(cls._kind, url, checked_timeout(timeout))

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Sets the data centre to connect to.

        Args:
            dc_id: The ID of the data centre.
            server_address: Its IP address.
            port: Its port.
        """
        RustMemorySession.set_dc(self, dc_id, server_address, port)
        self._update_session_table()

    def clone(self, to_instance: Any = None) -> Any:
        """Returns `to_instance`, or a new session in memory, for a connection to another data
        centre.
        """
        return super().clone(RustMemorySession() if to_instance is None else to_instance)

    def get_input_entity(self, key: Any) -> Any:
        """Returns the input peer of a key, as Telethon's sessions do.

        An entity that is not in memory is looked up on the server. In a running event loop the server
        gets some milliseconds to answer. If that is not enough, the result is awaitable with Telethon
        1.41 and later, whose client awaits it; with older ones, the entity is reported as unknown.

        Args:
            key: An ID, username, phone, link, display name or peer. An input peer is returned as it
                is.

        Returns:
            The input peer, or an awaitable for it.

        Raises:
            ValueError: The entity is not known.
        """
        try:
            return super().get_input_entity(key)
        except Unanswered:
            if not _AWAITS_LOOKUPS:
                raise
            return self._find_later(key)

    def _find_later(self, key: Any) -> Any:
        # Telethon calls awaitable results of sessions experimental.
        warnings.filterwarnings("ignore", "Using async sessions support", UserWarning, r"telethon\.utils")
        return asyncio.to_thread(super().get_input_entity, key)


__all__ = ["DEFAULT_TIMEOUT", "RemoteSession"]

"""The session that is kept in MongoDB."""

from __future__ import annotations

from . import _url
from ._encryption import EncryptionKey
from ._timeout import DEFAULT_TIMEOUT
from .remote import RemoteSession


class RustMongoSession(RemoteSession):
    """A session in MongoDB.

    Opens what telemongo (telethon-session-mongo) has stored in the database with the session's name:
    it is copied at the first use, and theirs stays untouched.
    """

    _kind = "mongodb"

    def __init__(
        self,
        url: str,
        session_name: str,
        *,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        encryption_key: EncryptionKey | None = None,
        max_entities: int | None = None,
        prefix: str | None = None,
    ) -> None:
        """Opens the session, and waits for the server. Creates collections and indexes if necessary.

        Args:
            url: The URL of the database, such as `mongodb://localhost/telethon`, with the drivers'
                usual parameters; or `mongodb+srv://`.
            session_name: The name of the session.
            exclusive: Whether to exclude other sessions that ask for it too, on any machine, until
                `close()` or 15 seconds after the end of the program.
            timeout: How many seconds to wait for the server. Used by the constructor, by `save()` if
                the credentials have changed, and by lookups outside a running event loop.
            encryption_key: A key of 32 bytes, such as `secrets.token_bytes(32)`, with which the login's
                keys are encrypted on the server: an attacker who reads the database cannot log in.
                Nothing else is encrypted. Of several keys the first one encrypts, and all of them
                decrypt: to change the key, give the new one and the old one until `save()` was
                called. It also encrypts a login that was stored without this option. Other packages
                cannot log in with an encrypted login, and neither can a session with another name.
            max_entities: How many entities may be in memory; `None` for all. If there are more, those
                that were seen the longest ago leave memory. They stay in the database and are looked up
                there.
            prefix: The beginning of the collections' names; empty by default.

        Raises:
            SessionCorruptError: The login is encrypted, and `encryption_key` is missing or another one.
            SessionInUseError: Another session has opened it with `exclusive=True`.
            SessionUnavailableError: The server cannot be reached, or denies access.
            ValueError: The URL is not valid, an encryption key does not have 32 bytes, or `max_entities`
                is less than 1.
        """
        if not isinstance(url, str):
            raise TypeError(f"expected a URL such as mongodb://localhost/telethon, not {type(url).__name__}")
        super().__init__(
            _url.with_options(url, prefix=prefix),
            session_name,
            exclusive=exclusive,
            timeout=timeout,
            encryption_key=encryption_key,
            max_entities=max_entities,
        )

    @classmethod
    def list_sessions(
        cls, url: str | None = None, timeout: float = DEFAULT_TIMEOUT, *, prefix: str | None = None
    ) -> list[str]:
        """Returns the names of all sessions in a database, sorted.

        Args:
            url: The URL of the database.
            timeout: How many seconds to wait for the server.
            prefix: The beginning of the collections' names; empty by default.
        """
        if url is None:
            raise TypeError("list_sessions() needs the URL of the database")
        return cls._list(_url.with_options(url, prefix=prefix), timeout)

"""The session that is kept in PostgreSQL or MySQL."""

from __future__ import annotations

from typing import Any

from . import _url
from ._encryption import EncryptionKey
from ._timeout import DEFAULT_TIMEOUT
from .remote import RemoteSession


class RustSQLSession(RemoteSession):
    """A session in PostgreSQL, MySQL or MariaDB.

    Uses the tables of telethon-session-sqlalchemy, so it opens what that package has stored and goes
    on with it, and so does that package with what this class has stored.
    """

    _kind = "sql"

    def __init__(
        self,
        url: Any,
        session_name: str,
        *,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        encryption_key: EncryptionKey | None = None,
        max_entities: int | None = None,
        table_prefix: str | None = None,
        schema: str | None = None,
        manage_tables: bool | None = None,
    ) -> None:
        """Opens the session, and waits for the server. Creates the tables if necessary.

        Args:
            url: The URL of the database, such as `postgresql://user@host/database` or
                `mysql://user@host/database`, with the drivers' usual parameters. SQLAlchemy's form
                with `+driver` is accepted, and so is an `Engine`, of which the URL is used, and those
                `connect_args` that a URL can express; a warning names the others.
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
            table_prefix: The beginning of the tables' names; empty by default.
            schema: The schema of the tables in PostgreSQL; that of the connection by default.
            manage_tables: Whether tables may be created; `True` by default.

        Raises:
            SessionCorruptError: The login is encrypted, and `encryption_key` is missing or another one.
            SessionInUseError: Another session has opened it with `exclusive=True`.
            SessionUnavailableError: The server cannot be reached, or denies access.
            ValueError: The URL is not valid, an encryption key does not have 32 bytes, or `max_entities`
                is less than 1.
        """
        super().__init__(
            self._url_of(url, table_prefix=table_prefix, schema=schema, manage_tables=manage_tables),
            session_name,
            exclusive=exclusive,
            timeout=timeout,
            encryption_key=encryption_key,
            max_entities=max_entities,
        )

    @staticmethod
    def _url_of(url: Any, **options: Any) -> str:
        return _url.with_options(url if isinstance(url, str) else _url.of_engine(url), **options)

    @classmethod
    def list_sessions(
        cls,
        url: Any = None,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        table_prefix: str | None = None,
        schema: str | None = None,
    ) -> list[str]:
        """Returns the names of all sessions in a database, sorted.

        Args:
            url: The URL of the database, or an `Engine`.
            timeout: How many seconds to wait for the server.
            table_prefix: The beginning of the tables' names; empty by default.
            schema: The schema of the tables in PostgreSQL; that of the connection by default.
        """
        if url is None:
            raise TypeError("list_sessions() needs the URL of the database")
        return cls._list(cls._url_of(url, table_prefix=table_prefix, schema=schema), timeout)

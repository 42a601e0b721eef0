"""The session that is kept in Redis."""

from __future__ import annotations

from typing import Any

from . import _url
from ._encryption import EncryptionKey
from ._timeout import DEFAULT_TIMEOUT
from .remote import RemoteSession


class RustRedisSession(RemoteSession):
    """A session in Redis or Valkey: a single server, a cluster, or servers that Sentinels watch.

    Opens what teleredis (telethon-session-redis) and redisthon have stored: it is copied at the first
    use, and theirs stays untouched.
    """

    _kind = "redis"

    def __init__(
        self,
        url: Any,
        session_name: str,
        *,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        encryption_key: EncryptionKey | None = None,
        max_entities: int | None = None,
        prefix: str | None = None,
        hive_prefix: str | None = None,
    ) -> None:
        """Opens the session, and waits for the server.

        Args:
            url: The URL of the server, such as `redis://localhost/0`, `rediss://` for TLS,
                `redis+cluster://` or `redis+sentinel://host/master`; or a `redis.Redis` client, of
                which only the parameters are used.
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
                that were seen the longest ago leave memory. They stay in the server and are looked up
                there.
            prefix: The beginning of all keys; `telethon-session` by default.
            hive_prefix: The option of teleredis, if it is not `telethon:client`.

        Raises:
            SessionCorruptError: The login is encrypted, and `encryption_key` is missing or another one.
            SessionInUseError: Another session has opened it with `exclusive=True`.
            SessionUnavailableError: The server cannot be reached, or denies access.
            ValueError: The URL is not valid, an encryption key does not have 32 bytes, or `max_entities`
                is less than 1.
        """
        super().__init__(
            self._url_of(url, prefix=prefix, hive_prefix=hive_prefix),
            session_name,
            exclusive=exclusive,
            timeout=timeout,
            encryption_key=encryption_key,
            max_entities=max_entities,
        )

    @staticmethod
    def _url_of(url: Any, **options: str | None) -> str:
        return _url.with_options(url if isinstance(url, str) else _url.of_redis(url), **options)

    @classmethod
    def list_sessions(
        cls, url: Any = None, timeout: float = DEFAULT_TIMEOUT, *, prefix: str | None = None
    ) -> list[str]:
        """Returns the names of all sessions on a server, sorted.

        Args:
            url: The URL of the server, or a `redis.Redis` client.
            timeout: How many seconds to wait for the server.
            prefix: The beginning of all keys; `telethon-session` by default.
        """
        if url is None:
            raise TypeError("list_sessions() needs the URL of the server")
        return cls._list(cls._url_of(url, prefix=prefix), timeout)

"""Opens sessions on servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from telethon.crypto import AuthKey

from ..errors import SessionError
from ..opening import open_session
from ..remote import RemoteSession
from .encryption import Keys
from .errors import CommandError
from .places import Remote
from .rows import Credentials, Row

# How many seconds to wait for an answer.
TIMEOUT = 10.0
# How many seconds to wait until the server has a batch of rows.
_FLUSH_TIMEOUT = 30.0


@contextmanager
def open_remote(place: Remote, keys: Keys = (), *, exclusive: bool = False) -> Iterator[RemoteSession]:
    """Opens a session, and closes it when the block ends.

    Raises:
        CommandError: The URL or the name cannot be used.
        SessionError: The session cannot be opened, or what was written to it cannot be saved.
    """
    try:
        session = open_session(place.location, exclusive=exclusive, timeout=TIMEOUT, encryption_key=keys or None)
    except ValueError as error:
        raise CommandError(f"{place}: {error}") from error
    assert isinstance(session, RemoteSession)
    try:
        yield session
    except BaseException:
        # Do not wait for a server that may have failed.
        with suppress(SessionError):
            asyncio.run(_close_soon(session))
        raise
    session.close()


async def _close_soon(session: RemoteSession) -> None:
    """Closes a session. In an event loop this does not wait for what is unsaved."""
    session.close()


def flush(place: Remote, session: RemoteSession) -> None:
    """Waits until the server has everything that was written.

    Raises:
        CommandError: It does not answer.
        SessionError: It does not accept it.
    """
    try:
        asyncio.run(_flush(session))
    except asyncio.TimeoutError as error:
        raise CommandError(f"{place}: the server has not answered for {_FLUSH_TIMEOUT:.0f} s: try again") from error


async def _flush(session: RemoteSession) -> None:
    await asyncio.wait_for(session.flush(), _FLUSH_TIMEOUT)


def list_names(place: Remote) -> list[str]:
    """Returns the names of all sessions on a server, sorted."""
    # The base has no such method: each class takes options of its own.
    cls: Any = place.cls
    names: list[str] = cls.list_sessions(place.url, TIMEOUT)
    return names


def credentials_of(session: RemoteSession) -> Credentials:
    keys = (key.key if key else b"" for key in (session.auth_key, session.tmp_auth_key))
    auth_key, tmp_auth_key = keys
    address, port = session.server_address, session.port
    return Credentials(session.dc_id, address, port, auth_key, session.takeout_id, tmp_auth_key)


def set_credentials(session: RemoteSession, credentials: Credentials) -> None:
    session.set_dc(credentials.dc_id, credentials.server_address, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key) if credentials.auth_key else None
    session.takeout_id = credentials.takeout_id
    session.store_tmp_auth_key_on_disk = bool(credentials.tmp_auth_key)
    session.tmp_auth_key = AuthKey(credentials.tmp_auth_key) if credentials.tmp_auth_key else None


def entity_batches(session: RemoteSession) -> Iterator[list[Row]]:
    """Yields all entities with the dates when they were seen, and the account as entity 0."""
    scan = session._scan(None, tuple)
    while rows := scan._slice():
        yield [*rows]


def is_there(session: RemoteSession, place: Remote) -> bool:
    """Returns `True` if a session exists on its server. Opening one creates nothing there."""
    return not is_empty(session) or place.name in list_names(place)


def check_exists(session: RemoteSession, place: Remote) -> None:
    """Checks that a session exists on its server.

    Raises:
        CommandError: It does not.
    """
    if not is_there(session, place):
        raise CommandError(f"{place}: no such session")


def is_empty(session: RemoteSession) -> bool:
    """Returns `True` if nothing is known of a session, so that it may not exist."""
    is_known = session.dc_id or session.auth_key or session.get_update_states()
    return not is_known and next(entity_batches(session), None) is None

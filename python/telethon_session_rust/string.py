"""The session that is kept as a string."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import StringSession
from telethon.sessions.sqlite import CURRENT_VERSION

from ._backup import Parts
from ._core import (
    EntityFileCore,
    StoredCore,
    data_centre,
    decode_base64,
    encode_base64,
    pack_string,
    parse_string,
    unpack_string,
)
from ._exclusive import KeyHolder
from ._names import file_name
from ._timeout import DEFAULT_TIMEOUT, checked_timeout
from .memory import RustMemorySession

_VERSION = "1"
# The IDs that fit into a string.
_DC_IDS = range(256)


class RustStringSession(EntityFileCore, RustMemorySession):
    """A login as a string, a drop-in replacement for `telethon.sessions.StringSession` that uses
    the same strings.

    The string gives access to the account: keep it secret. It holds data centre, address, port and
    key, but no entities. Those are lost when the program ends, unless there is an `entity_file`.

    `encode` (bytes to text) and `decode` (text to bytes) can be overridden in a subclass. An
    overridden `decode` gets everything after the first character, unchanged.

    Attributes:
        entity_file: The name of the entity file, or `None`.
    """

    # The class whose methods keep update states and sent files: that of the entity file, if there
    # is one.
    _keeper: type[StoredCore] | type[RustMemorySession] = RustMemorySession
    # Keeps the key locked, if the session is exclusive.
    _key_holder: KeyHolder | None = None

    def __init__(
        self,
        string: str | None = None,
        *,
        entity_file: str | os.PathLike[str] | None = None,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        max_entities: int | None = None,
    ) -> None:
        """Reads a string session, or begins a new one.

        Args:
            string: The string, in either alphabet of base64. White space, line breaks and quotes
                around or inside it are ignored. `save()` returns the clean form. Without a string,
                the session is new.
            entity_file: The name of a file, with or without `.session`, that keeps entities, update
                states and sent files, but no login. So it holds no key that could be encrypted, and
                there is no `encryption_key`. It is created if it does not exist. Access hashes are
                valid for one account only, so each account needs its own file, which remembers
                whose it is. With a new login it is used from the moment when the account is known,
                which is at sign-in, or with `client.get_me()`. `log_out()` deletes it.
            exclusive: Whether to exclude other sessions with the same key that ask for it too, in any
                program of this user, until `close()` or the end of the program: strings, and files
                (`RustSQLiteSession`). Telegram may revoke a key that is used from two places at once.
                It can be used again after `close()`, and excludes others again when the client
                connects. A new key is locked when it is set.
            timeout: How many seconds to wait for an entity file that another program holds. Used by
                the constructor, and by lookups outside a running event loop.
            max_entities: How many entities may be in memory; `None` for all. If there are more, those
                that were seen the longest ago leave memory. With an entity file they are looked up
                there; without one they are forgotten.

        Raises:
            ValueError: `string` is not a valid string session (the message says why), the entity file
                holds a login, or `max_entities` is less than 1.
            SessionError: The entity file cannot be opened; see `RustSQLiteSession` for the
                subclasses.
            SessionInUseError: Another session has the key with `exclusive=True`.
            SessionOwnerError: The entity file is another account's. Also raised later, when the
                account of a new login is known; the session is then kept in memory.
        """
        super().__init__(max_entities=max_entities)
        seconds = checked_timeout(timeout)
        self.entity_file: str | None = None
        if string:
            self._dc_id, ip, self._port, key = _parse(self, string)
            self._server_address = ipaddress.ip_address(ip).compressed
            if key is not None:
                self._auth_key = AuthKey(key)
        if exclusive:
            self._key_holder = KeyHolder()
            self._key_holder.hold(self._key())
        if entity_file:
            name = file_name(entity_file)
            try:
                self._open_entity_file(name, CURRENT_VERSION, seconds, self._key())
            except BaseException:
                if self._key_holder is not None:
                    self._key_holder.release()
                raise
            self.entity_file, self._keeper = name, StoredCore

    @property
    def auth_key(self) -> Any:
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. It gives access to the
        account.
        """
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        if self._key_holder is not None:
            self._key_holder.hold(value.key if value else b"")
        self._auth_key = value
        if self.entity_file:
            self._set_owner_key(self._key())

    def _key(self) -> bytes:
        key: bytes = self._auth_key.key if self._auth_key else b""
        return key

    @staticmethod
    def encode(x: bytes) -> str:
        """Encodes bytes as URL-safe base64."""
        return encode_base64(x)

    @staticmethod
    def decode(x: str) -> bytes:
        """Decodes base64 of either alphabet.

        Raises:
            ValueError: `x` is something else.
        """
        return decode_base64(x)

    def save(self: Any) -> str:  # type: ignore[override]
        """Returns the string. Saves the entity file as `RustSQLiteSession.save` saves its file.

        Can be called unbound on any session: `RustStringSession.save(client.session)`. If the
        session has no address, that of its data centre is used.

        Returns:
            The string; an empty one if there is no key.

        Raises:
            ValueError: The session's address, port, data centre or key do not fit into a string.
        """
        string = _string_of(self)
        if isinstance(self, RustStringSession) and self.entity_file:
            StoredCore.save(self)
        return string

    def close(self) -> None:
        """Writes the entity file, if there is one, and closes it. The next use of the session opens
        it again. Ends `exclusive=True` until then.
        """
        self._keeper.close(self)
        if self._key_holder is not None:
            self._key_holder.release()

    def delete(self) -> bool | None:  # type: ignore[override]
        """Deletes the entity file.

        Returns:
            `False` if that is not possible; `None` if there is no entity file.
        """
        return self._keeper.delete(self)

    def get_update_state(self, entity_id: int) -> Any:
        """Returns the `updates.State` of a channel or, for ID 0, of the account; `None` if it is
        not known.
        """
        return self._keeper.get_update_state(self, entity_id)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Sets the `updates.State` of a channel or, for ID 0, of the account."""
        self._keeper.set_update_state(self, entity_id, state)

    def get_update_states(self) -> Iterable[tuple[int, Any]]:  # type: ignore[override]
        """Returns all pairs of ID and `updates.State`."""
        return self._keeper.get_update_states(self)

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Stores the server's reference to a sent file. See `RustMemorySession.cache_file`."""
        self._keeper.cache_file(self, md5_digest, file_size, instance)

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Returns the server's reference to a sent file. See `RustMemorySession.get_file`."""
        return self._keeper.get_file(self, md5_digest, file_size, cls)

    def _backup_parts(self) -> Parts:
        return (self._login_row(), [], {}) if self.entity_file else super()._backup_parts()

    def _own_file(self) -> Path | None:
        return Path(self.entity_file) if self.entity_file else None

    def _keeps_login(self) -> bool:
        return self.entity_file is not None

    def __getstate__(self) -> dict[str, Any]:
        if self.entity_file:
            raise TypeError(f"a {type(self).__name__} with an entity file cannot be copied: use its string")
        state = super().__getstate__()
        # A copy has no lock.
        state.pop("_key_holder", None)
        return state


def _parse(session: RustStringSession, string: str) -> tuple[int, bytes, int, bytes | None]:
    is_overridden = type(session).decode is not RustStringSession.decode
    if not isinstance(string, str) or (is_overridden and string[0] != _VERSION):
        raise ValueError(f"Not a valid string: a string session begins with {_VERSION!r}")
    # An overridden decode() decides itself what it ignores.
    return unpack_string(session.decode(string[1:])) if is_overridden else parse_string(string)


def _string_of(session: Any) -> str:
    if not session.auth_key:
        return ""
    address, port = session.server_address, session.port
    if address is None or (type(address) is str and not address):
        known = data_centre(session.dc_id) if session.dc_id in _DC_IDS else None
        if known is None:
            raise ValueError(
                "a string session cannot hold a login without an address, and data centre"
                f" {session.dc_id} is not one of Telegram's"
            )
        address, port = known[0], port or known[1]
    packed = pack_string(session.dc_id, ipaddress.ip_address(address).packed, port, session.auth_key.key)
    encode = session.encode if isinstance(session, RustStringSession) else RustStringSession.encode
    return _VERSION + encode(packed)


StringSession.register(RustStringSession)

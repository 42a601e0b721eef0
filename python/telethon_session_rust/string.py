"""The session that is kept as a string."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import StringSession
from telethon.sessions.sqlite import CURRENT_VERSION

from ._connection import DEFAULT_TIMEOUT, checked_timeout
from ._core import FileCore, data_centre, decode_base64, encode_base64, pack_login, parse_string, unpack_login
from .memory import RustMemorySession
from .sqlite import file_name

_VERSION = "1"
# What a string has room for.
_DC_IDS = range(256)


class RustStringSession(FileCore, RustMemorySession):
    """A login as a string, in the place of `telethon.sessions.StringSession`, and the same string.

    Whoever has the string is logged in: never give it away. It holds data centre, address, port and key, and no
    entities: those are forgotten when the program ends, unless there is an `entity_file`.

    `encode` (bytes to text) and `decode` (text to bytes) may be overridden in a subclass. An overridden `decode` gets
    all that follows the first character, unchanged.
    """

    # Who keeps what is no entity and not in the string: a class whose methods do, the file's if there is one.
    _keeper: type[FileCore] | type[RustMemorySession] = RustMemorySession

    def __init__(
        self,
        string: str | None = None,
        *,
        entity_file: str | os.PathLike[str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Reads `string`; without one the session is new.

        A string may be pasted as it comes: in either alphabet of base64, with white space, line breaks and
        quotes around or inside it. `save()` returns the clean form.

        `entity_file` is the name of a file, with or without `.session`, that keeps whom the account has met, how far
        its updates were received and what files it sent, but no login; it is made if it is not there. Access hashes
        are an account's own, so each account needs a file of its own. `log_out()` removes it.

        `timeout` is how many seconds an entity file that another program holds is waited for: by the constructor, and
        outside a running event loop by lookups.

        Raises `ValueError`, which says what is wrong, if it is not a string of Telethon's or if there is a login in
        the file, and `sqlite3.DatabaseError`, naming the file, if that cannot be opened.
        """
        super().__init__()
        seconds = checked_timeout(timeout)
        self.entity_file: str | None = None
        if string:
            self._dc_id, ip, self._port, key = _login_in(self, string)
            self._server_address = ipaddress.ip_address(ip).compressed
            if key is not None:
                self._auth_key = AuthKey(key)
        if entity_file:
            name = file_name(entity_file)
            self._open_entity_file(name, CURRENT_VERSION, seconds)
            self.entity_file, self._keeper = name, FileCore

    @staticmethod
    def encode(x: bytes) -> str:
        """Encodes bytes as url-safe base64."""
        return encode_base64(x)

    @staticmethod
    def decode(x: str) -> bytes:
        """Decodes base64 of either alphabet; raises `ValueError` for anything else."""
        return decode_base64(x)

    def save(self: Any) -> str:  # type: ignore[override]
        """Returns the string; an empty one if there is no key.

        It can be called unbound on any session: `RustStringSession.save(client.session)`. If the session has no
        address, that of its data centre is taken.

        What belongs into the entity file is written as `RustSQLiteSession.save` writes it.

        Raises `ValueError` if the session's address, port, data centre or key do not fit a string.
        """
        string = _string_of(self)
        if isinstance(self, RustStringSession) and self.entity_file:
            FileCore.save(self)
        return string

    def close(self) -> None:
        """Writes what belongs into the entity file and closes that. A session that is used again opens it again."""
        self._keeper.close(self)

    def delete(self) -> bool | None:  # type: ignore[override]
        """Removes the entity file; `False` if that is not possible."""
        return self._keeper.delete(self)

    def get_update_state(self, entity_id: int) -> Any:
        """The `updates.State` of a channel, or (0) of the account; `None` if none is known."""
        return self._keeper.get_update_state(self, entity_id)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Keeps the `updates.State` of a channel, or (0) of the account."""
        self._keeper.set_update_state(self, entity_id, state)

    def get_update_states(self) -> Iterable[tuple[int, Any]]:  # type: ignore[override]
        """All pairs of id and `updates.State`."""
        return self._keeper.get_update_states(self)

    def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
        """Keeps what the server calls a file that was sent: an `InputDocument` or `InputPhoto`."""
        self._keeper.cache_file(self, md5_digest, file_size, instance)

    def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
        """Makes a `cls` of what the server calls a file that was sent; `None` if it is not known."""
        return self._keeper.get_file(self, md5_digest, file_size, cls)

    def __getstate__(self) -> dict[str, Any]:
        if self.entity_file:
            raise TypeError(f"a {type(self).__name__} with an entity file cannot be copied: use its string")
        return super().__getstate__()


def _login_in(session: RustStringSession, string: str) -> tuple[int, bytes, int, bytes | None]:
    is_overridden = type(session).decode is not RustStringSession.decode
    if not isinstance(string, str) or (is_overridden and string[0] != _VERSION):
        raise ValueError(f"Not a valid string: a string session begins with {_VERSION!r}")
    # What an overridden decode() takes for noise is its own affair.
    return unpack_login(session.decode(string[1:])) if is_overridden else parse_string(string)


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
    login = pack_login(session.dc_id, ipaddress.ip_address(address).packed, port, session.auth_key.key)
    encode = session.encode if isinstance(session, RustStringSession) else RustStringSession.encode
    return _VERSION + encode(login)


StringSession.register(RustStringSession)

"""The session that is kept as a string."""

from __future__ import annotations

import ipaddress
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from ._core import decode_base64, encode_base64, pack_login, unpack_login
from .memory import RustMemorySession

_VERSION = "1"


class RustStringSession(RustMemorySession):
    """A login as a string, in the place of `telethon.sessions.StringSession`, and the same string.

    Whoever has the string is logged in: never give it away. It holds data centre, address, port and key, and no
    entities.

    `encode` (bytes to text) and `decode` (text to bytes) may be overridden in a subclass.
    """

    def __init__(self, string: str | None = None) -> None:
        """Reads `string`; without one the session is new.

        Raises `ValueError` if it is not a string that `save()` made.
        """
        super().__init__()
        if string:
            if not isinstance(string, str) or string[0] != _VERSION:
                raise ValueError(f"Not a valid string: a string session begins with {_VERSION!r}")
            self._dc_id, ip, self._port, key = unpack_login(self.decode(string[1:]))
            self._server_address = ipaddress.ip_address(ip).compressed
            if key is not None:
                self._auth_key = AuthKey(key)

    @staticmethod
    def encode(x: bytes) -> str:
        """Url-safe base64."""
        return encode_base64(x)

    @staticmethod
    def decode(x: str) -> bytes:
        """The bytes of url-safe base64; raises `ValueError` for anything else."""
        return decode_base64(x)

    def save(self: Any) -> str:  # type: ignore[override]
        """The string; empty if there is no key.

        It can be called unbound on any session: `RustStringSession.save(client.session)`.

        Raises `ValueError` if the session's address, port, data centre or key do not fit a string.
        """
        if not self.auth_key:
            return ""
        ip = ipaddress.ip_address(self.server_address).packed
        login = pack_login(self.dc_id, ip, self.port, self.auth_key.key)
        encode = self.encode if isinstance(self, RustStringSession) else RustStringSession.encode
        return _VERSION + encode(login)


StringSession.register(RustStringSession)

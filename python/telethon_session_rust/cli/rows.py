"""The rows of a session file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .._core import data_centre, encrypt_key, is_encrypted

Row: TypeAlias = tuple[Any, ...]

AUTH_KEY_SIZE = 256
# The size of such a key once it is encrypted.
ENCRYPTED_KEY_SIZE = len(encrypt_key(bytes(AUTH_KEY_SIZE), bytes(32)))
# Stands for an unknown date where a session would replace it by the current time.
OLDEST_DATE = 1


@dataclass(frozen=True)
class Credentials:
    """The row of the table `sessions`."""

    dc_id: int = 0
    server_address: str | None = None
    port: int | None = None
    auth_key: bytes = field(default=b"", repr=False)
    takeout_id: int | None = None
    tmp_auth_key: bytes = field(default=b"", repr=False)

    @property
    def is_encrypted(self) -> bool:
        """Whether a key could not be decrypted."""
        return is_encrypted(self.auth_key) or is_encrypted(self.tmp_auth_key)

    def with_address(self) -> Credentials:
        """Fills in the address of one of Telegram's data centres if there is a key without an
        address.
        """
        known = data_centre(self.dc_id) if self.auth_key and not self.server_address else None
        return dataclasses.replace(self, server_address=known[0], port=self.port or known[1]) if known else self


def with_aliases(entities: Sequence[Row], aliases: Mapping[int, Sequence[tuple[str, int]]]) -> list[Row]:
    """Returns the rows of those entities that have other usernames, with a tuple of them. Each is a
    username and the date when the entity was seen with it.

    Args:
        entities: Rows of the table `entities`.
        aliases: What `SessionReader.aliases` returns.
    """
    return [(*row[:6], tuple(aliases[row[0]])) for row in entities if row[0] in aliases]


def decode_text(data: bytes) -> str:
    """Decodes a text of a file. Bytes that are not UTF-8 become surrogates, which `is_valid_text`
    detects.
    """
    return data.decode(errors="surrogateescape")


def is_valid_text(value: Any) -> bool:
    """Returns `True` if the value is a text that was UTF-8 in the file."""
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

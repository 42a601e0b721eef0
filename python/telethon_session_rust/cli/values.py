"""What the values in a session file must be for Telethon to use them, and what is left of a row when some are not."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeAlias

from telethon.sessions.memory import _SentFileType

from .._core import data_centre

Row: TypeAlias = tuple[Any, ...]
Mended: TypeAlias = tuple[Row | None, Sequence[str]]
"""The row without what is wrong in it, or `None`, and what that is."""

KEY_SIZE = 256
# What is put right and not lost.
MENDED = "usernames that are not in lower case, so that they are not found"
_FILE_TYPES = [kind.value for kind in _SentFileType]
# Seconds that fit the session's memory, and whole numbers that fit Telegram's messages.
_SECONDS = range(2**32)
_WHOLE = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Login:
    """The row of the table `sessions`."""

    dc_id: int = 0
    server_address: str | None = None
    port: int | None = None
    auth_key: bytes = field(default=b"", repr=False)
    takeout_id: int | None = None
    tmp_auth_key: bytes = field(default=b"", repr=False)

    def with_address(self) -> Login:
        """Fills in the address of one of Telegram's data centres if it is missing beside a key."""
        known = data_centre(self.dc_id) if self.auth_key and not self.server_address else None
        return dataclasses.replace(self, server_address=known[0], port=self.port or known[1]) if known else self


def mend_login(row: Row) -> tuple[Login, list[str]]:
    """What can be used of a login, and what is wrong with the rest; no value is in the words."""
    faults: list[str] = []

    def take(value: Any, is_right: bool, fault: str, instead: Any = None) -> Any:
        if not is_right:
            faults.append(fault)
        return value if is_right else instead

    dc_id, address, port, key, takeout_id, tmp_key = row
    # Telethon writes by place: where a file has the last two columns swapped, each holds the other's value.
    is_key = type(takeout_id) is bytes and takeout_id != b""
    if (type(tmp_key) is int and type(takeout_id) is not int) or (is_key and not tmp_key):
        takeout_id, tmp_key = tmp_key, takeout_id
    # Telethon 1.43 and 1.44 wrote an empty key in the place of the takeout's id.
    takeout_id = None if takeout_id == b"" else takeout_id
    address = None if address == "" else address
    key, tmp_key = (b"" if value is None else value for value in (key, tmp_key))
    has_size = type(key) is bytes and len(key) in (0, KEY_SIZE)
    key = take(key, has_size, f"the auth key is not {KEY_SIZE} bytes, so it cannot be used", b"")
    key = take(key, not key or any(key), "the auth key is all zeros, so it cannot be used", b"")
    has_size = type(tmp_key) is bytes and len(tmp_key) in (0, KEY_SIZE)
    login = Login(
        take(dc_id, type(dc_id) is int and dc_id >= 0, "the data centre's number is none", 0),
        take(address, _is_address(address), "the data centre's address is no IP address"),
        take(port, port is None or (type(port) is int and 0 <= port < 2**16), "the data centre's port is none"),
        key,
        take(takeout_id, takeout_id is None or type(takeout_id) is int, "the takeout's id is no number"),
        take(tmp_key, has_size, f"the temporary auth key is not {KEY_SIZE} bytes", b""),
    )
    return login, faults


def mend_entity(row: Row) -> Mended:
    id, access_hash, username, phone, name, date = row
    if type(id) is not int or type(access_hash) is not int:
        return None, ["entities whose id or access hash is no number"]
    # The columns make text of a number, so this row is another table's.
    if isinstance(username, (int, float)) or isinstance(name, (int, float)):
        return None, ["entities with a number in the place of a name"]
    faults = []
    if username is not None and not is_text(username):
        username = None
        faults.append("usernames that are no text")
    elif username is not None and username != username.lower():
        username = username.lower()
        faults.append(MENDED)
    if not (phone is None or isinstance(phone, (int, float)) or is_text(phone)):
        phone = None
        faults.append("phones that are neither number nor text")
    if name is not None and not is_text(name):
        name = None
        faults.append("names that are no text")
    if date is not None and not (type(date) is int and date in _SECONDS):
        date = None
        faults.append("entities with a date that is none")
    return (id, access_hash, username, phone, name, date), faults


def mend_update_state(row: Row) -> Mended:
    id, pts, qts, date, seq = row
    if type(id) is not int or not all(type(value) is int and value in _WHOLE for value in (pts, qts, seq)):
        return None, ["update states with what cannot be sent"]
    if not _is_date(date):
        return None, ["update states with a date that is none"]
    return row, ()


def mend_sent_file(row: Row) -> Mended:
    digest, size, kind, id, access_hash = row
    is_right = (
        type(digest) is bytes and kind in _FILE_TYPES and all(type(n) is int for n in (size, kind, id, access_hash))
    )
    return (row, ()) if is_right else (None, ["sent files that cannot be used"])


MENDERS: dict[str, Callable[[Row], Mended]] = {
    "entities": mend_entity,
    "update_state": mend_update_state,
    "sent_files": mend_sent_file,
}


def is_text(value: Any) -> bool:
    """Whether it is a text that was UTF-8; `reading.text` makes surrogates of what was not."""
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_address(value: Any) -> bool:
    try:
        return value is None or bool(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        return False


def _is_date(value: Any) -> bool:
    """Whether Telethon can make a date of it."""
    try:
        return type(value) in (int, float) and bool(datetime.fromtimestamp(value, timezone.utc))
    except (ValueError, OverflowError, OSError):
        return False

"""Removes values that Telethon cannot use from the rows of a session file."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, TypeAlias

from telethon.sessions.memory import _SentFileType

from .._core import is_encrypted
from .rows import AUTH_KEY_SIZE, Credentials, Row, is_valid_text
from .schema import USERNAMES

Sanitized: TypeAlias = tuple[Row | None, Sequence[str]]
"""The row without unusable values, or `None` if nothing is left of it, and descriptions of what was wrong."""

# The only fault that is corrected without losing anything.
UPPERCASE_USERNAMES = "usernames with uppercase letters, which lookups do not find"
_FILE_TYPES = [kind.value for kind in _SentFileType]
# Dates are stored as unsigned, fields of Telegram's messages as signed 32-bit integers.
_UINT32 = range(2**32)
_INT32 = range(-(2**31), 2**31)


def sanitize_credentials(row: Row) -> tuple[Credentials, list[str]]:
    """Returns the usable part of the credentials, and descriptions of the rest, which contain no
    values.
    """
    faults: list[str] = []

    def take(value: Any, is_valid: bool, fault: str, default: Any = None) -> Any:
        if not is_valid:
            faults.append(fault)
        return value if is_valid else default

    dc_id, address, port, key, takeout_id, tmp_key = row
    # Telethon writes by position. In a file with the last two columns swapped, each holds the
    # other's value.
    is_key = type(takeout_id) is bytes and takeout_id != b""
    if (type(tmp_key) is int and type(takeout_id) is not int) or (is_key and not tmp_key):
        takeout_id, tmp_key = tmp_key, takeout_id
    # Telethon 1.43 and 1.44 wrote an empty key as the takeout ID.
    takeout_id = None if takeout_id == b"" else takeout_id
    address = None if address == "" else address
    key, tmp_key = (b"" if value is None else value for value in (key, tmp_key))
    key = take(key, _has_key_size(key), f"the auth key is not {AUTH_KEY_SIZE} bytes long, so it cannot be used", b"")
    key = take(key, not key or any(key), "the auth key is all zeros, so it cannot be used", b"")
    credentials = Credentials(
        take(dc_id, type(dc_id) is int and dc_id >= 0, "the data centre ID is not valid", 0),
        take(address, _is_valid_address(address), "the address of the data centre is not an IP address"),
        take(
            port, port is None or (type(port) is int and 0 <= port < 2**16), "the port of the data centre is not valid"
        ),
        key,
        take(takeout_id, takeout_id is None or type(takeout_id) is int, "the takeout ID is not a number"),
        take(tmp_key, _has_key_size(tmp_key), f"the temporary auth key is not {AUTH_KEY_SIZE} bytes long", b""),
    )
    return credentials, faults


def sanitize_entity(row: Row) -> Sanitized:
    id, access_hash, username, phone, name, date = row
    if type(id) is not int or type(access_hash) is not int:
        return None, ["entities whose ID or access hash is not a number"]
    # The columns would have converted numbers to text, so the row belongs to another table.
    if isinstance(username, (int, float)) or isinstance(name, (int, float)):
        return None, ["entities with a number instead of a name"]
    faults = []
    if username is not None and not is_valid_text(username):
        username = None
        faults.append("usernames that are not text")
    elif username is not None and username != username.lower():
        username = username.lower()
        faults.append(UPPERCASE_USERNAMES)
    if not (phone is None or isinstance(phone, (int, float)) or is_valid_text(phone)):
        phone = None
        faults.append("phone numbers that are neither a number nor text")
    if name is not None and not is_valid_text(name):
        name = None
        faults.append("names that are not text")
    if date is not None and not (type(date) is int and date in _UINT32):
        date = None
        faults.append("entities whose date is not valid")
    return (id, access_hash, username, phone, name, date), faults


def sanitize_update_state(row: Row) -> Sanitized:
    id, pts, qts, date, seq = row
    if type(id) is not int or not all(type(value) is int and value in _INT32 for value in (pts, qts, seq)):
        return None, ["update states with values that cannot be sent"]
    if not _is_valid_date(date):
        return None, ["update states whose date is not valid"]
    return row, ()


def sanitize_sent_file(row: Row) -> Sanitized:
    digest, size, kind, id, access_hash = row
    is_valid = (
        type(digest) is bytes and kind in _FILE_TYPES and all(type(n) is int for n in (size, kind, id, access_hash))
    )
    return (row, ()) if is_valid else (None, ["sent files that cannot be used"])


def sanitize_alias(row: Row) -> Sanitized:
    username, id, position, main, date = row
    is_valid = (
        (is_valid_text(username) and username == username.lower())
        and (type(id) is int and type(position) is int)
        and (main is None or is_valid_text(main))
        and (type(date) is int and date in _UINT32)
    )
    return (row, ()) if is_valid else (None, ["other usernames that cannot be used"])


SANITIZERS: dict[str, Callable[[Row], Sanitized]] = {
    "entities": sanitize_entity,
    "update_state": sanitize_update_state,
    "sent_files": sanitize_sent_file,
    USERNAMES: sanitize_alias,
}


def _has_key_size(value: Any) -> bool:
    return type(value) is bytes and (len(value) in (0, AUTH_KEY_SIZE) or is_encrypted(value))


def _is_valid_address(value: Any) -> bool:
    try:
        return value is None or bool(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        return False


def _is_valid_date(value: Any) -> bool:
    """Returns `True` if Telethon can convert the value to a date."""
    try:
        return type(value) in (int, float) and bool(datetime.fromtimestamp(value, timezone.utc))
    except (ValueError, OverflowError, OSError):
        return False

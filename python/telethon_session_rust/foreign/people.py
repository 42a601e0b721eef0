"""What other libraries store of people, as a session can use it."""

from __future__ import annotations

import re
from typing import Any

# Bounds of the IDs that tell kinds of peers apart, see https://core.telegram.org/api/bots/ids.
# Channels of monoforums, which that page does not have, are lower.
LAST_USER = 2**40 - 1
LAST_CHAT = -999_999_999_999
CHANNEL_ZERO = -1_000_000_000_000
LAST_CHANNEL = -4_000_000_000_000

# A marked ID's kind as SQL, for a column `id` and a column `access_hash` that must be usable; NULL if it is not.
# Chats have no access hash.
KIND = f"""case
  when id between 1 and {LAST_USER} and {{has_hash}} then 'user'
  when id between {LAST_CHAT} and -1 then 'chat'
  when id between {LAST_CHANNEL} and {CHANNEL_ZERO - 1} and {{has_hash}} then 'channel'
end"""

_USERNAME = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_PHONE = re.compile(r"\+?([0-9]{3,32})", re.ASCII)
_DATES = range(1, 2**32)


def username(value: Any) -> str | None:
    """Returns a username in lower case; `None` if the value is not a valid one."""
    return value.lower() if isinstance(value, str) and _USERNAME.fullmatch(value) else None


def name(value: Any) -> str | None:
    """Returns a display name; `None` if the value is not a text that can be stored."""
    try:
        return value if isinstance(value, str) and value.encode() else None
    except UnicodeEncodeError:
        return None


def phone(value: Any) -> str | None:
    """Returns the digits of a phone number; `None` if the value is not a valid one."""
    found = _PHONE.fullmatch(str(value)) if type(value) in (int, str) else None
    return found[1] if found else None


def date(value: Any) -> int | None:
    """Returns seconds since 1970; `None` if a session cannot store them."""
    return value if type(value) is int and value in _DATES else None


def int32(value: Any) -> int | None:
    """Returns a positive number as Telegram's messages have it; `None` if it is something else."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def bare_id(marked_id: int) -> int:
    """Returns an ID without its mark."""
    if marked_id > 0:
        return marked_id
    return -marked_id if marked_id >= LAST_CHAT else CHANNEL_ZERO - marked_id

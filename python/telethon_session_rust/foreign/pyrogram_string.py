"""Session strings of Pyrogram and Kurigram, in all their layouts.

`Storage` in their `storage/storage.py` has the formats: 362 characters since Pyrogram 2.0; before,
351 or, if the account's ID does not fit into 32 bits, 356. None has an address.
"""

from __future__ import annotations

import struct

from .checks import NO_USER_ID, checked_account, checked_api_id, checked_key, checked_user_id, filled_in
from .letters import encode
from .login import completed_address
from .session import ConversionError, ForeignSession

LIBRARY = "Pyrogram"
NEEDED: tuple[str, ...] = ("api_id", "user_id")
USED: tuple[str, ...] = ("api_id", "user_id", "is_bot")

_OLDEST = struct.Struct(">BB256sIB")
_NEWEST = struct.Struct(">BIB256sQB")
_BY_SIZE = {layout.size: layout for layout in (_OLDEST, struct.Struct(">BB256sQB"), _NEWEST)}
# The IDs that the oldest layout has. Below these are the first bytes of a longer one.
_OLDEST_IDS = range(2**8, 2**31)
# Where the newest layout has the flag for a test server.
_NEWEST_FLAG = 5


def matches(data: bytes) -> bool:
    """Returns `True` if a string decodes to what Pyrogram or Kurigram writes."""
    layout = _BY_SIZE.get(len(data))
    if layout is None:
        return False
    *_, is_test, _key, _user_id, is_bot = layout.unpack(data)
    return {is_test, is_bot} <= {0, 1}


def read(data: bytes) -> ForeignSession:
    """Reads what a string decodes to.

    Raises:
        ConversionError: It is not a login.
    """
    dc_id, *api_ids, is_test, key, user_id, is_bot = _BY_SIZE[len(data)].unpack(data)
    if len(data) == _OLDEST.size:
        _require_oldest(data)
    server_address, port = completed_address(dc_id, bool(is_test))
    notes = [filled_in(dc_id, bool(is_test))]
    user_id = checked_user_id(user_id)
    if user_id is None:
        notes.append(NO_USER_ID)
    return ForeignSession(
        library=LIBRARY,
        dc_id=dc_id,
        auth_key=checked_key(key),
        server_address=server_address,
        port=port,
        is_test=bool(is_test),
        user_id=user_id,
        is_bot=bool(is_bot),
        api_id=checked_api_id(api_ids[0]) if api_ids else None,
        notes=tuple(notes),
    )


def _require_oldest(data: bytes) -> None:
    """Raises `ConversionError` if a string may be one of a longer layout without its end. Such a
    one would be read as another key.
    """
    *_, user_id, is_bot = _OLDEST.unpack(data)
    if user_id not in _OLDEST_IDS:
        raise ConversionError("its end is missing (was all of it copied?)")
    # An account's ID begins with a zero, which is where this layout has whether it is a bot. One in
    # 128 keys has a flag of the newest layout by chance.
    if data[_NEWEST_FLAG] <= 1 and not is_bot:
        raise ConversionError(
            "its last 11 characters may be missing (was all of it copied?); if it is whole, open it with Pyrogram 2 or"
            " Kurigram, and export it again, which gives 362 characters"
        )


def write(session: ForeignSession) -> str:
    """Returns the string of a login with `NEEDED`.

    Raises:
        ConversionError: Pyrogram does not know the data centre.
    """
    if not 0 < session.dc_id < 256:
        raise ConversionError(f"a Pyrogram string has no place for data centre {session.dc_id}")
    # Pyrogram looks the address up.
    completed_address(session.dc_id, session.is_test)
    api_id, user_id = checked_account(session)
    key, is_bot = checked_key(session.auth_key), bool(session.is_bot)
    return encode(_NEWEST.pack(session.dc_id, api_id, session.is_test, key, user_id, is_bot))

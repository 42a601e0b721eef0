"""Session strings ("auth strings") of MTKruto: URL-safe base64 of
`data centre as text | key | API ID (4) | bot (1) | user (8)`.

Text and key are written as TL does it. In all of it, a zero is followed by how many there are. In
the first releases, and in strings of @mtcute/convert, nothing follows the key; in later ones only
the API ID does. `exportAuthString` in `storage/0_storage.ts`, now in
`client/0_storage_operations.ts`, writes them.
"""

from __future__ import annotations

import re

from telethon.tl import TLObject

from .checks import NO_USER_ID, checked_account, checked_api_id, checked_key, checked_user_id, filled_in
from .letters import encode
from .login import KEY_SIZE, completed_address
from .session import ConversionError, ForeignSession
from .tl import TLValues

LIBRARY = "MTKruto"
NEEDED: tuple[str, ...] = ("api_id", "user_id")
USED: tuple[str, ...] = ("api_id", "user_id", "is_bot")

_DATA_CENTRE = re.compile(r"([1-9][0-9]{0,2})(-test)?")
_KEY_HEAD = b"\xfe" + KEY_SIZE.to_bytes(3, "little")


def matches(data: bytes) -> bool:
    """Returns `True` if a string decodes to what begins as MTKruto writes it. Something behind the
    key's length may be missing. Some are as long as Pyrogram's, which do not begin so.
    """
    try:
        values = TLValues(_expanded(data[:24]))
        return bool(_DATA_CENTRE.fullmatch(values.text())) and values.take(len(_KEY_HEAD)) == _KEY_HEAD
    except ConversionError:
        return False


def read(data: bytes) -> ForeignSession:
    """Reads what a string decodes to.

    Raises:
        ConversionError: It is not a login.
    """
    expanded = _expanded(data)
    if _compressed(expanded) != data:
        raise ConversionError("it has a run of zeros that is not valid")
    values = TLValues(expanded)
    found = _DATA_CENTRE.fullmatch(values.text())
    if found is None:
        raise ConversionError("it has something else where a data centre is expected")
    dc_id, is_test = int(found[1]), found[2] is not None
    server_address, port = completed_address(dc_id, is_test)
    key = checked_key(values.string())
    api_id = user_id = is_bot = None
    if not values.is_at_end:
        api_id = checked_api_id(values.integer())
    if not values.is_at_end:
        is_bot, user_id = values.flag(), checked_user_id(values.integer(8))
    values.end()
    filled = filled_in(dc_id, is_test)
    return ForeignSession(
        library=LIBRARY,
        dc_id=dc_id,
        auth_key=key,
        server_address=server_address,
        port=port,
        is_test=is_test,
        user_id=user_id,
        is_bot=is_bot,
        api_id=api_id,
        notes=(filled,) if user_id else (filled, NO_USER_ID),
    )


def write(session: ForeignSession) -> str:
    """Returns the string of a login with `NEEDED`.

    Raises:
        ConversionError: MTKruto does not know the data centre.
    """
    # MTKruto looks the address up.
    completed_address(session.dc_id, session.is_test)
    data = TLObject.serialize_bytes(f"{session.dc_id}{'-test' if session.is_test else ''}")
    data += TLObject.serialize_bytes(checked_key(session.auth_key))
    api_id, user_id = checked_account(session)
    data += api_id.to_bytes(4, "little") + bytes((bool(session.is_bot),)) + user_id.to_bytes(8, "little")
    return encode(_compressed(data))


def _expanded(data: bytes) -> bytes:
    found = bytearray()
    values = iter(data)
    for byte in values:
        found += bytes(next(values, 1)) if byte == 0 else bytes((byte,))
    return bytes(found)


def _compressed(data: bytes) -> bytes:
    return re.sub(rb"\0{1,255}", lambda zeros: bytes((0, len(zeros[0]))), data)

"""Session strings of mtcute, versions 1 to 3: URL-safe base64 of what `string-session.ts` in
@mtcute/core writes.

`version (1) | flags (4) | data centre | data centre for media, by a flag | user (8) and bot, by a
flag | key`. Versions 1 and 2 have data centres as the constructor `dcOption` of Telegram's API,
version 3 as bytes of mtcute's own (`serializeBasicDcOption` in `dcs.ts`). Version 1 has none for
media.
"""

from __future__ import annotations

from typing import NamedTuple

from telethon.tl import TLObject, types

from .checks import NO_USER_ID, checked_account, checked_key, checked_port, checked_user_id, ip_address
from .data_centres import is_test_server
from .letters import encode
from .login import KEY_SIZE, checked_dc_id
from .session import ConversionError, ForeignSession
from .tl import TLValues, encoded_boolean

LIBRARY = "mtcute"
NEEDED: tuple[str, ...] = ()
USED: tuple[str, ...] = ("user_id", "is_bot")

_NEWEST_VERSION = 3
_HAS_SELF, _IS_TEST, _HAS_MEDIA = 1, 2, 4
_FLAGS = {1: _HAS_SELF | _IS_TEST, 2: _HAS_SELF | _IS_TEST | _HAS_MEDIA, 3: _HAS_SELF | _IS_TEST | _HAS_MEDIA}
# Of `dcOption`: the last of its flags of one bit, and that of a secret.
_OPTION_FLAGS, _HAS_SECRET = 0b111111, 1 << 10
# Of mtcute's own bytes.
_NEWEST_DC_VERSION = 2
_DC_IS_IPV6, _DC_IS_TEST, _DC_FLAGS = 1, 4, {1: 0b11, 2: 0b111}
# Telegram's data centres for files have IDs from 201.
_MAX_DC_ID = 999
# How TL begins bytes of this length.
_KEY_HEAD = b"\xfe" + KEY_SIZE.to_bytes(3, "little")


class _DataCentre(NamedTuple):
    id: int
    address: str
    port: int
    is_test: bool


def matches(data: bytes) -> bool:
    """Returns `True` if a string decodes to what begins and ends as mtcute writes it. Something
    between may be missing.
    """
    flags = int.from_bytes(data[1:5], "little")
    return data[:1] in (b"\1", b"\2", b"\3") and flags <= _FLAGS[data[0]] and _KEY_HEAD in data[5:]


def read(data: bytes) -> ForeignSession:
    """Reads what a string decodes to.

    Raises:
        ConversionError: It is not a login.
    """
    values = TLValues(data)
    version, flags = values.byte(), values.integer()
    if flags & ~_FLAGS[version]:
        raise ConversionError("its flags are not valid")
    read_data_centre = _read_own_data_centre if version == _NEWEST_VERSION else _read_option
    home = read_data_centre(values)
    media = read_data_centre(values) if flags & _HAS_MEDIA else home
    if media.is_test != home.is_test:
        raise ConversionError("its data centres are partly test servers")
    user_id = is_bot = None
    if flags & _HAS_SELF:
        user_id, is_bot = checked_user_id(values.integer(8)), values.boolean()
    key = checked_key(values.string())
    values.end()
    return ForeignSession(
        library=LIBRARY,
        dc_id=home.id,
        auth_key=key,
        server_address=home.address,
        port=home.port,
        # Strings that were converted from another library's may lack the flag.
        is_test=bool(flags & _IS_TEST) or home.is_test or is_test_server(home.address),
        user_id=user_id,
        is_bot=is_bot,
        notes=() if user_id else (NO_USER_ID,),
    )


def _read_option(values: TLValues) -> _DataCentre:
    if values.constructor() != types.DcOption.CONSTRUCTOR_ID:
        raise ConversionError("it has something else where a data centre is expected")
    flags = values.integer()
    if flags & ~(_OPTION_FLAGS | _HAS_SECRET):
        raise ConversionError("the flags of its data centre are not valid")
    found = _checked(values.integer(), values.text(), values.integer(), is_test=False)
    if flags & _HAS_SECRET:
        values.string()
    return found


def _read_own_data_centre(values: TLValues) -> _DataCentre:
    own = TLValues(values.string())
    version, dc_id, flags = own.byte(), own.byte(), own.byte()
    if version not in _DC_FLAGS or flags & ~_DC_FLAGS[version]:
        raise ConversionError("it has something else where a data centre is expected")
    found = _checked(dc_id, own.text(), own.integer(), is_test=bool(flags & _DC_IS_TEST))
    own.end()
    return found


def _checked(dc_id: int, address: str, port: int, *, is_test: bool) -> _DataCentre:
    ip = ip_address(address)
    if ip is None:
        raise ConversionError("the data centre's address is not an IP address")
    if dc_id > _MAX_DC_ID:
        raise ConversionError("the data centre's ID is not valid")
    return _DataCentre(checked_dc_id(dc_id), ip, checked_port(port), is_test)


def write(session: ForeignSession) -> str:
    """Returns the string of a login, of the newest version.

    Raises:
        ConversionError: mtcute cannot use the login.
    """
    if not 0 < session.dc_id < 256:
        raise ConversionError(f"an mtcute string has no place for data centre {session.dc_id}")
    _api_id, user_id = checked_account(session)
    flags = (_DC_IS_IPV6 if ":" in session.server_address else 0) | (_DC_IS_TEST if session.is_test else 0)
    home = bytes((_NEWEST_DC_VERSION, session.dc_id, flags))
    home += TLObject.serialize_bytes(session.server_address) + session.port.to_bytes(4, "little")
    data = bytes((_NEWEST_VERSION,)) + (_HAS_SELF if user_id else 0).to_bytes(4, "little")
    data += TLObject.serialize_bytes(home)
    if user_id:
        data += user_id.to_bytes(8, "little") + encoded_boolean(bool(session.is_bot))
    return encode(data + TLObject.serialize_bytes(checked_key(session.auth_key)))

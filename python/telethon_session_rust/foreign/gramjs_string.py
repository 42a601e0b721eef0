"""Session strings of GramJS (npm: telegram): a 1, then standard base64 of `dc (1) | length (2) |
address as text | port (2) | key (256)`, as its `sessions/StringSession.ts` has it.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode

from .checks import NO_USER_ID, checked_key, checked_port, filled_in, ip_address
from .data_centres import is_test_server
from .login import KEY_SIZE, checked_dc_id, completed_address
from .session import ConversionError, ForeignSession

LIBRARY = "GramJS"
NEEDED: tuple[str, ...] = ()
USED: tuple[str, ...] = ()
VERSION = "1"

# What Telethon's strings decode to behind their first character, which is 1 too.
_TELETHON_SIZES = (263, 275)
_HEAD = struct.Struct(">BH")
_PORT_SIZE = 2
# `::1` is the shortest address, and no host name is longer.
_ADDRESS_LENGTHS = range(3, 254)
_ADDRESS = re.compile(rb"[0-9A-Za-z.:_-]*")
_NOT_IP, _SEPARATOR = re.compile(rb"[^0-9A-Fa-f.:]"), re.compile(rb"[.:]")
# Where Telethon's IPv6 address ends.
_IPV6_END = 17
_HOST = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
# GramJS reads the port as a signed number.
_MAX_PORT = 2**15 - 1


def matches(data: bytes) -> bool:
    """Returns `True` if a string, without its first character, decodes to what GramJS writes. The
    end may be missing, unless it could be Telethon's.
    """
    if len(data) < _HEAD.size:
        return False
    _dc_id, length = _HEAD.unpack_from(data)
    address = data[_HEAD.size : _HEAD.size + length]
    if length not in _ADDRESS_LENGTHS or not _ADDRESS.fullmatch(address):
        # Telethon would take a damaged text for an IPv6 address.
        text = data[_HEAD.size : _IPV6_END]
        digits = _NOT_IP.sub(b"", text)
        is_text = len(digits) >= len(text) - 2 and len(_SEPARATOR.findall(digits)) >= 2
        return is_text and len(data) == _TELETHON_SIZES[1]
    is_whole = len(data) == _HEAD.size + length + _PORT_SIZE + KEY_SIZE
    begins = len(address) >= _ADDRESS_LENGTHS.start and (b"." in address or b":" in address)
    return is_whole or (begins and len(data) not in _TELETHON_SIZES)


def read(data: bytes) -> ForeignSession:
    """Reads what a string decodes to. Telethon connects to IP addresses only, so a host name is
    replaced by the data centre's address.

    Raises:
        ConversionError: It is not a login.
    """
    dc_id, length = _HEAD.unpack_from(data)
    text, rest = data[_HEAD.size : _HEAD.size + length], data[_HEAD.size + length :]
    if length not in _ADDRESS_LENGTHS or not _ADDRESS.fullmatch(text):
        raise ConversionError("it has something else where an address is expected")
    address = text.decode("ascii")
    port, key = int.from_bytes(rest[:_PORT_SIZE], "big"), checked_key(rest[_PORT_SIZE:])
    checked_dc_id(dc_id)
    checked_port(port)
    notes = [NO_USER_ID]
    server_address = ip_address(address)
    if server_address is None:
        if not _HOST.fullmatch(address):
            raise ConversionError("its address is neither an IP address nor a host name")
        server_address, port = completed_address(dc_id, is_test=False)
        notes.insert(0, f"{filled_in(dc_id, is_test=False)}, instead of the host name")
    return ForeignSession(
        library=LIBRARY,
        dc_id=dc_id,
        auth_key=key,
        server_address=server_address,
        port=port,
        is_test=is_test_server(server_address),
        notes=tuple(notes),
    )


def write(session: ForeignSession) -> str:
    """Returns the string of a login.

    Raises:
        ConversionError: GramJS cannot use the login.
    """
    if not 0 < session.dc_id < 256:
        raise ConversionError(f"a GramJS string has no place for data centre {session.dc_id}")
    if not 0 < session.port <= _MAX_PORT:
        raise ConversionError(f"GramJS cannot connect to port {session.port}: its strings have ports up to {_MAX_PORT}")
    address = session.server_address.encode("ascii")
    head = _HEAD.pack(session.dc_id, len(address)) + address + session.port.to_bytes(_PORT_SIZE, "big")
    return VERSION + b64encode(head + checked_key(session.auth_key)).decode()

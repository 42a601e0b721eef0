"""Session strings of Telethon."""

from __future__ import annotations

import ipaddress

from .._core import parse_string
from .checks import NO_USER_ID, checked_key, checked_port
from .data_centres import is_test_server
from .login import checked_dc_id
from .session import ConversionError, ForeignSession

LIBRARY = "Telethon"


def read(text: str) -> ForeignSession:
    """Reads a string.

    Raises:
        ConversionError: It is not a string of Telethon. The message does not contain it.
    """
    try:
        dc_id, ip, port, key = parse_string(text)
    except ValueError as error:
        raise ConversionError(str(error).partition(": ")[2]) from error
    server_address = ipaddress.ip_address(ip).compressed
    return ForeignSession(
        library=LIBRARY,
        dc_id=checked_dc_id(dc_id),
        auth_key=checked_key(key or bytes(256)),
        server_address=server_address,
        port=checked_port(port),
        is_test=is_test_server(server_address),
        notes=(NO_USER_ID,),
    )

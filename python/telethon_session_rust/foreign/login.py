"""Checks the login of a session of another library, and fills in what it lacks."""

from __future__ import annotations

import ipaddress
from typing import Any

from .data_centres import address as known_address
from .session import ConversionError

KEY_SIZE = 256
_DC_IDS = range(1, 2**31)
_PORTS = range(1, 2**16)


def checked_key(key: Any) -> bytes:
    """Returns an auth key.

    Raises:
        ConversionError: It is missing or cannot be one.
    """
    if key is None or key == b"":
        raise ConversionError("it has no auth key: the program was not logged in")
    if type(key) is not bytes or len(key) != KEY_SIZE or not any(key):
        raise ConversionError("it is damaged: its auth key is not valid")
    return key


def checked_dc_id(dc_id: Any) -> int:
    """Returns the ID of a data centre.

    Raises:
        ConversionError: It cannot be one.
    """
    if type(dc_id) is not int or dc_id not in _DC_IDS:
        raise ConversionError("it is damaged: the ID of its data centre is not valid")
    return dc_id


def completed_address(dc_id: int, is_test: bool, server_address: Any = None, port: Any = None) -> tuple[str, int]:
    """Returns the address and port that a session has, or that are known of its data centre.

    Raises:
        ConversionError: It has none, and the data centre is unknown.
    """
    if _is_ip_address(server_address) and type(port) is int and port in _PORTS:
        return server_address, port
    known = known_address(dc_id, is_test)
    if known is None:
        servers = "test servers" if is_test else "data centres"
        raise ConversionError(f"data centre {dc_id} is not one of Telegram's {servers}, so its address is not known")
    return known


def account_id(value: Any) -> int | None:
    """Returns the ID of an account; `None` if it is not known."""
    return value if type(value) is int and value > 0 else None


def _is_ip_address(value: Any) -> bool:
    try:
        return bool(ipaddress.ip_address(value if type(value) is str else ""))
    except ValueError:
        return False

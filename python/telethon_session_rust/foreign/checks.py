"""Checks of the values in a session string, besides those of any login."""

from __future__ import annotations

import ipaddress

from .login import KEY_SIZE
from .session import ConversionError, ForeignSession

# See https://core.telegram.org/api/bots/ids.
_MAX_USER_ID = 2**40 - 1
_MAX_API_ID = 2**31 - 1


def checked_key(key: bytes) -> bytes:
    """Returns an authorization key.

    Raises:
        ConversionError: It has another size, or is all zeros: there is no login.
    """
    if len(key) != KEY_SIZE:
        raise ConversionError(f"its auth key has {len(key)} bytes instead of {KEY_SIZE} (was all of it copied?)")
    if not any(key):
        raise ConversionError("it has no auth key: the program was not logged in")
    return key


def checked_user_id(user_id: int) -> int | None:
    """Returns the account's ID; `None` for 0, which some programs write if they do not know it.

    Raises:
        ConversionError: No account has such an ID.
    """
    if not 0 <= user_id <= _MAX_USER_ID:
        raise ConversionError("the account's ID is not valid")
    return user_id or None


def checked_api_id(api_id: int) -> int | None:
    """Returns an API ID; `None` for 0.

    Raises:
        ConversionError: It is not valid.
    """
    if not 0 <= api_id <= _MAX_API_ID:
        raise ConversionError("the API ID is not valid")
    return api_id or None


def checked_account(session: ForeignSession) -> tuple[int, int]:
    """Returns the API ID and the account's ID of a session that is to be written; 0 for what is not
    known.

    Raises:
        ConversionError: They are not valid.
    """
    return checked_api_id(session.api_id or 0) or 0, checked_user_id(session.user_id or 0) or 0


def checked_port(port: int) -> int:
    """Returns a port.

    Raises:
        ConversionError: It is not valid.
    """
    if not 1 <= port < 2**16:
        raise ConversionError("the data centre's port is not valid")
    return port


def ip_address(text: str) -> str | None:
    """Returns an IP address in its short form; `None` if the text is something else."""
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        return None


def filled_in(dc_id: int, is_test: bool) -> str:
    """Returns the note that an address was filled in."""
    return f"the address was filled in: that of {'test ' if is_test else ''}data centre {dc_id}"


NO_USER_ID = "the account's ID is not known until the first connection"

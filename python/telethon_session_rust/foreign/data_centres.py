"""The addresses of Telegram's data centres, for sessions that name theirs by its ID only."""

from __future__ import annotations

from .._core import data_centre

_PORT = 443
# Holds files. `DataCenter.PROD` in Pyrogram, `PROD` in Kurigram's `storage/sqlite_storage.py`.
_PRODUCTION = {203: "91.105.192.100"}
# `kBuiltInDcsTest` in Telegram Desktop's `mtproto/mtproto_dc_options.cpp`, and `TEST` in Kurigram.
# They are reached at port 443 too; Pyrogram and Kurigram use 80.
_TEST = {1: "149.154.175.10", 2: "149.154.167.40", 3: "149.154.175.117"}


def address(dc_id: int, is_test: bool) -> tuple[str, int] | None:
    """Returns the IPv4 address and port of a data centre; `None` if its ID is unknown.

    Args:
        dc_id: The ID. A test server has its own data centres 1 to 3.
        is_test: Whether it is one of Telegram's test servers.
    """
    if is_test:
        return (_TEST[dc_id], _PORT) if dc_id in _TEST else None
    return data_centre(dc_id) or ((_PRODUCTION[dc_id], _PORT) if dc_id in _PRODUCTION else None)


def is_test_server(server_address: str) -> bool:
    """Returns `True` if an address is that of a test server, for sessions that do not tell."""
    return server_address in _TEST.values()

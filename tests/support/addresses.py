"""The addresses of Telegram's data centres, as in Pyrogram's `DataCenter.PROD`."""

from __future__ import annotations

from typing import Any

ADDRESSES = {
    1: "149.154.175.53",
    2: "149.154.167.51",
    3: "149.154.175.100",
    4: "149.154.167.91",
    5: "91.108.56.130",
}


def completed(login: list[Any]) -> list[Any]:
    """Key, data centre, address and port as Telethon reads them, with an address that is missing filled in."""
    key, dc_id, address, port = login
    return login if address or dc_id not in ADDRESSES else [key, dc_id, ADDRESSES[dc_id], port or 443]

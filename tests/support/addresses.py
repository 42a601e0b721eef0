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


def completed(credentials: list[Any]) -> list[Any]:
    """Returns key, data centre ID, address and port as Telethon reads them, with a missing address
    filled in.
    """
    key, dc_id, address, port = credentials
    return credentials if address or dc_id not in ADDRESSES else [key, dc_id, ADDRESSES[dc_id], port or 443]

"""The second process: reopens the session, looks entities up offline, and connects without signing
in again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sides import Side
from telethon import TelegramClient

from support.loopback import trust


async def main() -> None:
    config = json.load(sys.stdin)
    side = Side(**config["side"])
    session = await asyncio.to_thread(side.open)
    client = TelegramClient(session, 1, "hash")
    found = [key for key in config["keys"] if finds(session, key)]
    assert found == config["keys"] or not side.is_ours
    trust(config["public_key"])
    await client.connect()
    me = await client.get_me()
    await client.disconnect()
    json.dump({"name": me.first_name, "keys": " = ".join(map(repr, found)) or "nothing"}, sys.stdout)


def finds(session: Any, key: int | str) -> bool:
    try:
        session.get_input_entity(key)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(main())

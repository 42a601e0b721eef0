"""The second process: reopens the session, looks entities up offline, and connects without signing
in again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from telethon import TelegramClient
from telethon.sessions import SQLiteSession

from support.loopback import trust
from telethon_session_rust import RustSQLiteSession

SESSIONS = {cls.__name__: cls for cls in (SQLiteSession, RustSQLiteSession)}


async def main() -> None:
    config = json.load(sys.stdin)
    session = SESSIONS[config["session_class"]](config["path"])
    client = TelegramClient(session, 1, "hash")
    ids = [session.get_input_entity(key).user_id for key in config["keys"]]
    assert len(set(ids)) == 1
    trust(config["public_key"])
    await client.connect()
    me = await client.get_me()
    await client.disconnect()
    json.dump({"name": me.first_name, "keys": " = ".join(map(repr, config["keys"]))}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

"""The second process: opens the session that the first one left, looks people up offline, and is still signed in."""

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
    order = json.load(sys.stdin)
    session = SESSIONS[order["session_class"]](order["path"])
    client = TelegramClient(session, 1, "hash")
    found = [session.get_input_entity(key).user_id for key in order["keys"]]
    assert len(set(found)) == 1
    trust(order["public_key"])
    await client.connect()
    me = await client.get_me()
    await client.disconnect()
    json.dump({"name": me.first_name, "found": " = ".join(map(repr, order["keys"]))}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

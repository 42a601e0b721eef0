"""A user account whose login is a string in the environment, so no file contains a login.

API_ID=... API_HASH=... python userbot.py login                     signs in and prints the string
API_ID=... API_HASH=... TELETHON_SESSION=... python userbot.py      runs

Entities are stored in a separate file, which contains no login.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from telethon import TelegramClient, events

from telethon_session_rust import RustStringSession


async def reply_with_id(event: Any) -> None:
    """Replies to `.id Ada`, sent by this account in any chat, without a request to Telegram."""
    entity = event.client.session.find_entity(event.pattern_match[1])
    await event.respond("Unknown entity." if entity is None else str(entity.marked_id))


async def forget(event: Any) -> None:
    """Forgets the entity in `.forget Ada`."""
    was_known = event.client.session.forget(event.pattern_match[1])
    await event.respond("Forgotten." if was_known else "Unknown entity.")


def make_client(session: RustStringSession) -> TelegramClient:
    return TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])


async def login() -> None:
    client = make_client(RustStringSession())
    await client.start()
    print("This string gives full access to the account. Store it like a password:")
    print(f"TELETHON_SESSION={client.session.save()}")
    await client.disconnect()


async def main(string: str) -> None:
    client = make_client(RustStringSession(string, entity_file="userbot-entities"))
    client.add_event_handler(reply_with_id, events.NewMessage(outgoing=True, pattern=r"\.id (.+)"))
    client.add_event_handler(forget, events.NewMessage(outgoing=True, pattern=r"\.forget (.+)"))
    await client.connect()
    me = await client.get_me()
    if me is None:
        sys.exit("The login in this string has expired. Run `python userbot.py login` for a new one.")
    # Stores the entities of the newest chats.
    await client.get_dialogs(limit=100)
    print(f"{me.first_name} is connected. Press Ctrl-C to stop.")
    await client.run_until_disconnected()


if __name__ == "__main__":
    # Service managers send SIGTERM; handle it like Ctrl-C, which disconnects and saves everything.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        if sys.argv[1:] == ["login"]:
            asyncio.run(login())
        elif "TELETHON_SESSION" in os.environ:
            asyncio.run(main(os.environ["TELETHON_SESSION"]))
        else:
            sys.exit("TELETHON_SESSION is not set. Run `python userbot.py login` to sign in and get its value.")

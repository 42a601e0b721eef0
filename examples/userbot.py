"""A user account whose login is a string in the environment, so that no file is a login.

API_ID=... API_HASH=... python userbot.py login                     signs in and prints the string
API_ID=... API_HASH=... TELETHON_SESSION=... python userbot.py      runs

Whom it meets is kept in a file of its own, which nobody can sign in with.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

from telethon import TelegramClient, events
from telethon.utils import get_peer_id

from telethon_session_rust import RustStringSession


async def tell_id(event: Any) -> None:
    """Answers `.id Ada`, said by oneself in any chat, at once: no request is made for it."""
    try:
        peer = event.client.session.get_input_entity(event.pattern_match[1])
    except ValueError:
        await event.respond("We have not met.")
    else:
        await event.respond(str(get_peer_id(peer)))


def client_of(session: RustStringSession) -> TelegramClient:
    return TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])


async def login() -> None:
    client = client_of(RustStringSession())
    await client.start()
    print("Whoever has this string is logged in. Keep it where you keep passwords:")
    print(f"TELETHON_SESSION={client.session.save()}")
    await client.disconnect()


async def main(string: str) -> None:
    client = client_of(RustStringSession(string, entity_file="userbot-entities"))
    client.add_event_handler(tell_id, events.NewMessage(outgoing=True, pattern=r"\.id (.+)"))
    await client.connect()
    me = await client.get_me()
    if me is None:
        sys.exit("This string is no longer logged in. `python userbot.py login` makes another.")
    # Everybody in the newest chats is met by it.
    await client.get_dialogs(limit=100)
    print(f"{me.first_name} is there. Ctrl-C ends it.")
    await client.run_until_disconnected()


if __name__ == "__main__":
    # What ends a service ends it as Ctrl-C does: disconnected, and with everything saved.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        if sys.argv[1:] == ["login"]:
            asyncio.run(login())
        elif "TELETHON_SESSION" in os.environ:
            asyncio.run(main(os.environ["TELETHON_SESSION"]))
        else:
            sys.exit("TELETHON_SESSION is not set. `python userbot.py login` signs in and prints what to set it to.")

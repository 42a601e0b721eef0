"""A bot that greets whoever writes to it. Its login, and everybody it has met, is in `bot.session`.

API_ID=... API_HASH=... BOT_TOKEN=... python bot.py
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

from telethon import TelegramClient, events

from telethon_session_rust import RustSQLiteSession


async def greet(event: Any) -> None:
    sender = await event.get_sender()
    await event.respond(f"Hello {sender.first_name}!")


async def main() -> None:
    # A second copy of this bot would be refused: Telegram does not like a key to be used twice at once.
    session = RustSQLiteSession("bot", exclusive=True)
    client = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
    client.add_event_handler(greet, events.NewMessage(incoming=True, func=lambda event: event.is_private))
    await client.start(bot_token=os.environ["BOT_TOKEN"])
    me = await client.get_me()
    print(f"@{me.username} is there. Ctrl-C ends it.")
    await client.run_until_disconnected()


if __name__ == "__main__":
    # What ends a service ends it as Ctrl-C does: disconnected, and with everything saved.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        asyncio.run(main())

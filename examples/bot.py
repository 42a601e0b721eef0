"""A bot that greets the sender of each private message. Its login and entities are in
`bot.session`.

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
    # Refuses to start a second copy of this bot, because Telegram may revoke a key that is used
    # twice at once.
    session = RustSQLiteSession("bot", exclusive=True)
    client = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
    client.add_event_handler(greet, events.NewMessage(incoming=True, func=lambda event: event.is_private))
    await client.start(bot_token=os.environ["BOT_TOKEN"])
    me = await client.get_me()
    print(f"@{me.username} is connected. Press Ctrl-C to stop.")
    await client.run_until_disconnected()


if __name__ == "__main__":
    # Service managers send SIGTERM; handle it like Ctrl-C, which disconnects and saves everything.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with suppress(KeyboardInterrupt):
        asyncio.run(main())

"""Runs every account of a folder in one process. Each `*.session` file is connected and replies
"pong" to "ping".

API_ID=... API_HASH=... python many_accounts.py accounts

One thread writes all files. If an account cannot connect, or its file is broken, the error is
logged and the others continue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from telethon import TelegramClient, events

from telethon_session_rust import RustSQLiteSession


async def pong(event: Any) -> None:
    await event.respond("pong")


async def run(path: Path) -> None:
    """Runs one account while it is connected."""
    session = RustSQLiteSession(path, exclusive=True)
    client = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
    client.add_event_handler(pong, events.NewMessage(incoming=True, pattern="ping$"))
    try:
        await client.connect()
        me = await client.get_me()
        if me is None:
            raise RuntimeError("not signed in")
        print(f"{path.name}: {me.first_name} is connected")
        await client.run_until_disconnected()
    finally:
        await client.disconnect()


async def run_isolated(path: Path) -> None:
    """Runs one account and logs its errors, so they do not stop the others."""
    try:
        await run(path)
    except Exception as error:
        logging.error("%s: %s", path.name, error)


async def main(folder: Path) -> None:
    # Because exceptions are returned, this waits until all accounts are disconnected, also after
    # Ctrl-C.
    await asyncio.gather(*map(run_isolated, sorted(folder.glob("*.session"))), return_exceptions=True)


if __name__ == "__main__":
    # Service managers send SIGTERM; handle it like Ctrl-C, which disconnects and saves everything.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.basicConfig()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))

"""Every account of a folder in one process: each `*.session` in it is connected, and says "pong" to "ping".

API_ID=... API_HASH=... python many_accounts.py accounts

One thread writes the files of them all. An account that cannot connect, or whose file is broken, is told of in the log,
and the others go on.
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
    """One account, for as long as it is connected."""
    session = RustSQLiteSession(path, exclusive=True)
    client = TelegramClient(session, int(os.environ["API_ID"]), os.environ["API_HASH"])
    client.add_event_handler(pong, events.NewMessage(incoming=True, pattern="ping$"))
    try:
        await client.connect()
        me = await client.get_me()
        if me is None:
            raise RuntimeError("it is not signed in")
        print(f"{path.name}: {me.first_name} is there")
        await client.run_until_disconnected()
    finally:
        await client.disconnect()


async def run_apart(path: Path) -> None:
    """What goes wrong with one account does not reach the others."""
    try:
        await run(path)
    except Exception as error:
        logging.error("%s: %s", path.name, error)


async def main(folder: Path) -> None:
    # With exceptions returned it waits, also at Ctrl-C, until the last of them has disconnected.
    await asyncio.gather(*map(run_apart, sorted(folder.glob("*.session"))), return_exceptions=True)


if __name__ == "__main__":
    # What ends a service ends it as Ctrl-C does: disconnected, and with everything saved.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.basicConfig()
    with suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))

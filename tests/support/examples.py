"""Runs the programs in `examples/` unchanged, each in its own process with the loopback data
centres as Telegram.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from telethon import TelegramClient

from support.clients import Inbox, until
from support.loopback import Account, DataCentres
from support.loopback.data_centre import HOST
from support.programs import command
from support.waiting import TIMEOUT

TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = TESTS.parent / "examples"


class Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def says(self, text: str) -> str:
        """Waits for an output line that contains this text, and returns it."""
        while not (matches := [line for line in self.lines if text in line]):
            line = await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)
            assert line, f"the program ended without printing {text!r}: {self.lines}"
            self.lines.append(line.decode().rstrip())
        return matches[0]

    async def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Sends the signal, if any, and waits for the program's end. Returns its exit status and
        the unread output.
        """
        if signal_number:
            self.process.send_signal(signal_number)
        rest, _ = await asyncio.wait_for(self.process.communicate(), TIMEOUT)
        return self.process.returncode, rest.decode()


@asynccontextmanager
async def example(
    name: str, telegram: DataCentres, *arguments: str, typed: str = "", **environment: str
) -> AsyncIterator[Program]:
    address = {"dc_id": telegram.home.dc_id, "host": HOST, "port": telegram.home.port}
    process = await asyncio.create_subprocess_exec(
        *command("on_loopback", EXAMPLES / name, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            # Telethon 1.40 causes this warning itself.
            "PYTHONWARNINGS": "ignore:Using async sessions support:UserWarning",
            "LOOPBACK": json.dumps({**address, "public_key": telegram.rsa_key.public_pem}),
            "API_ID": "1",
            "API_HASH": "hash",
            **environment,
        },
    )
    try:
        process.stdin.write(typed.encode())
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask(client: TelegramClient, recipient: str, text: str, answer: str) -> None:
    """Sends a message, and waits for a message with this answer."""
    inbox = Inbox(client)
    await client.send_message(recipient, text)
    await until(lambda: answer in inbox.texts)


def signed_in(telegram: DataCentres, account: Account) -> int:
    """Returns how often the account has signed in, which creates a key each time."""
    return sum(key.account is account for key in telegram.home.keys.values())

"""The programs in `examples/`, run as they are, each in a process of its own that takes loopback for Telegram."""

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
from support.waiting import PATIENCE

TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = TESTS.parent / "examples"


class Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def says(self, text: str) -> str:
        """Waits until it says something with this text in it, and answers the line."""
        while not (said := [line for line in self.lines if text in line]):
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
            assert line, f"it ended and did not say {text!r}: {self.lines}"
            self.lines.append(line.decode().rstrip())
        return said[0]

    async def end(self, signal_number: int | None = None) -> tuple[int, str]:
        """Its status when it has ended, by a signal or by itself, and what it said since one last listened."""
        if signal_number:
            self.process.send_signal(signal_number)
        rest, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        return self.process.returncode, rest.decode()


@asynccontextmanager
async def example(
    name: str, telegram: DataCentres, *arguments: str, typed: str = "", **environment: str
) -> AsyncIterator[Program]:
    where = {"dc_id": telegram.home.dc_id, "host": HOST, "port": telegram.home.port}
    process = await asyncio.create_subprocess_exec(
        *command("on_loopback", EXAMPLES / name, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            # 1.40 warns of a coroutine of its own.
            "PYTHONWARNINGS": "ignore:Using async sessions support:UserWarning",
            "LOOPBACK": json.dumps({**where, "public_key": telegram.rsa_key.public_pem}),
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


async def ask(client: TelegramClient, whom: str, text: str, answer: str) -> None:
    """Says something, and waits until somebody answers this."""
    inbox = Inbox(client)
    await client.send_message(whom, text)
    await until(lambda: answer in inbox.texts)


def signed_in(telegram: DataCentres, account: Account) -> int:
    """How often the account has signed in: each time it got a key."""
    return sum(key.account is account for key in telegram.home.keys.values())

"""Runs `python -m support.loopback` as a separate process, and sends it commands.

async with LoopbackProcess() as telegram: bot = await telegram.new_bot() client = await
    TelegramClient(telegram.at_home(MemorySession()), 1, "hash").start(bot_token=bot.token) await
    telegram.push_crowd(bot, 50_000)
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from . import client_side

TESTS = Path(__file__).resolve().parents[2]


class RemoteAccount(NamedTuple):
    id: int
    dc_id: int
    phone: str | None
    code: str
    token: str | None


class CommandError(Exception):
    """A command failed. The process logs the reason on stderr."""


class LoopbackProcess:
    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.host = ""
        self.ports: dict[int, int] = {}
        self.public_key = ""
        self._process: asyncio.subprocess.Process
        # Serialises commands, so that each gets its own answer.
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> LoopbackProcess:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "support.loopback", "--seed", str(self.seed)),
            cwd=TESTS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Keyboard interrupts are for this process only. The other exits when its stdin closes.
            start_new_session=True,
        )
        ready = await self._read_line()
        self.host = ready["host"]
        self.ports = {int(dc_id): port for dc_id, port in ready["ports"].items()}
        self.public_key = ready["public_key"]
        client_side.trust(self.public_key)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._process.stdin.close()
        await self._process.wait()

    def at_home(self, session: client_side.S) -> client_side.S:
        dc_id, port = next(iter(self.ports.items()))
        return client_side.at_home(session, dc_id, self.host, port)

    async def new_user(self, phone: str | None = None, dc_id: int | None = None) -> RemoteAccount:
        return RemoteAccount(**await self.send("new_user", phone=phone, dc_id=dc_id))

    async def new_bot(self, dc_id: int | None = None) -> RemoteAccount:
        return RemoteAccount(**await self.send("new_bot", dc_id=dc_id))

    async def prepare_crowd(self, count: int, first: int = 0) -> None:
        await self.send("prepare_crowd", count=count, first=first)

    async def push_crowd(self, account: RemoteAccount, count: int, first: int = 0, messages: int = 3) -> int:
        """Sends entities `first` to `first + count` of the world, and returns how many connections
        got them.
        """
        arguments = {"account": account.id, "count": count, "first": first, "messages": messages}
        return (await self.send("push_crowd", **arguments))["listeners"]

    async def gather(self, channel: int, count: int, first: int = 0) -> None:
        """Makes users `first` to `first + count` of the world the members of its channel of that
        number.
        """
        await self.send("gather", channel=channel, count=count, first=first)

    async def add_contacts(self, account: RemoteAccount, count: int, first: int = 0) -> None:
        await self.send("add_contacts", account=account.id, count=count, first=first)

    async def hang_up(self) -> None:
        await self.send("hang_up")

    async def send(self, command: str, **arguments: Any) -> dict[str, Any]:
        async with self._lock:
            self._process.stdin.write(json.dumps({command: arguments}).encode() + b"\n")
            await self._process.stdin.drain()
            reply = await self._read_line()
        if "error" in reply:
            raise CommandError(reply["error"])
        return reply

    async def _read_line(self) -> dict[str, Any]:
        line = await self._process.stdout.readline()
        if not line:
            raise CommandError("the loopback process has ended")
        return json.loads(line)

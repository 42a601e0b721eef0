"""A whole client on a data centre on 127.0.0.1: CPU time of a message and of a participant, with
Telethon alone and with `install()`.

The client stands still while messages fill its socket, and then handles them, so that nothing is
measured while it waits. The clients take turns.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import telethon.sessions
from telethon import TelegramClient, functions, types

from client_cpu import KNOWN, SAVE_EVERY, Inbox, Packet, packets, push, save
from common import flush, rotated
from dataset import PAGE
from harness import Harness
from report import Section, medians, seconds, speedup
from support.loopback import trust
from support.loopback.client_side import at_home
from support.loopback.process import LoopbackProcess, RemoteAccount
from telethon_session_rust import install

# Few enough for the buffers of a socket whose other end does not read.
SLICE = 400
# Members of a channel, of whom a slice fetches all, page by page.
MEMBERS, CHANNEL = 4_000, 0
SLICES_OF_MEMBERS = 4
SIDES = {"Telethon": False, "ours": True}


@dataclass(frozen=True)
class Config:
    installs: bool
    path: str
    dc: tuple[int, str, int]
    public_key: str
    token: str


@dataclass(frozen=True)
class Client:
    """A client in its own process, and its end of the pipe."""

    bot: RemoteAccount
    process: Any
    pipe: Connection

    async def ask(self, *command: Any) -> Any:
        self.pipe.send(command)
        return await asyncio.to_thread(self.pipe.recv)


def measure(harness: Harness) -> Section:
    found = asyncio.run(run_rounds(harness))
    message, participant = ([median(found[what, side]) for side in SIDES] for what in ("message", "participant"))
    scale = harness.scale
    return Section(
        "A whole client",
        "CPU time of the client's process, all threads: Telethon alone with `SQLiteSession`, and that program after"
        f" `install()`. Both decrypt with cryptg {version('cryptg')}, as Telethon recommends. The messages are those"
        f" of the section before, in slices of {SLICE}: the client stands still while a slice arrives and then handles"
        f" it. Participants are fetched {PAGE} at once. The clients take turns slice by slice."
        f" {medians(scale.rounds)}",
        [
            speedup("CPU of a message, a whole bot", *message, seconds, 1.8),
            speedup("CPU of a participant, a whole client", *participant, seconds, 5),
        ],
    )


async def run_rounds(harness: Harness) -> dict[tuple[str, str], list[float]]:
    scale = harness.scale
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    async with LoopbackProcess() as telegram:
        channel = await telegram.send("gather", channel=CHANNEL, count=MEMBERS)
        for round_number in range(scale.rounds):
            harness.log(f"whole client: round {round_number + 1} of {scale.rounds}")
            with harness.temporary_folder() as folder:
                clients = {
                    side: await start(telegram, installs, str(folder / str(number)))
                    for number, (side, installs) in enumerate(SIDES.items())
                }
                await run_round(telegram, clients, channel, scale.messages, found)
    return found


async def run_round(
    telegram: LoopbackProcess, clients: dict[str, Client], channel: dict[str, int], messages: int, found: Any
) -> None:
    known = [Packet(first, PAGE, 1) for first in range(0, KNOWN, PAGE)]
    for client in clients.values():
        await asyncio.gather(push(telegram, client.bot, known), client.ask("warm up", count(known)))
    cpu: dict[str, float] = defaultdict(float)
    parts = slices(packets(messages))
    for number, part in enumerate(parts):
        for side in rotated(list(clients), number):
            client = clients[side]
            await client.ask("stand still")
            await push(telegram, client.bot, part)
            saves = number % (SAVE_EVERY // SLICE) == 0
            cpu[side] += await client.ask("handle", count(part), saves)
    for number in range(SLICES_OF_MEMBERS + 1):
        for side in rotated(list(clients), number):
            elapsed = await clients[side].ask("fetch", channel)
            # The first time, entities are new and classes are met.
            if number:
                found["participant", side].append(elapsed / MEMBERS)
    for side, client in clients.items():
        found["message", side].append(cpu[side] / sum(map(count, parts)))
        await client.ask("end")
        client.process.join()


def slices(stream: list[Packet]) -> list[list[Packet]]:
    """Returns the packets in slices of about `SLICE` messages, without an incomplete one at the end."""
    size = SLICE * len(stream) // count(stream)
    return [stream[first : first + size] for first in range(0, len(stream) - size + 1, size)]


def count(stream: list[Packet]) -> int:
    return sum(packet.messages for packet in stream)


async def start(telegram: LoopbackProcess, installs: bool, path: str) -> Client:
    bot = await telegram.new_bot()
    (dc_id, port), *_ = telegram.ports.items()
    config = Config(installs, path, (dc_id, telegram.host, port), telegram.public_key, bot.token or "")
    parent_end, child_end = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=client_process, args=(child_end, config))
    process.start()
    # With its other end closed here too, reading from the pipe fails if the client dies.
    child_end.close()
    await asyncio.to_thread(parent_end.recv)
    return Client(bot, process, parent_end)


def client_process(parent: Connection, config: Config) -> None:
    """Runs the client, in its own process."""
    if config.installs:
        install()
    asyncio.run(obey(parent, config))


async def obey(parent: Connection, config: Config) -> None:
    trust(config.public_key)
    session = at_home(telethon.sessions.SQLiteSession(config.path), *config.dc)
    client = TelegramClient(session, 1, "hash")
    await client.start(bot_token=config.token)
    inbox, expected = Inbox(client), 0
    parent.send("connected")
    while True:
        # The loop runs between commands, except after "stand still".
        command, *arguments = await asyncio.to_thread(parent.recv)
        if command == "stand still":
            parent.send("standing still")
            command, *arguments = parent.recv()
        if command == "end":
            break
        start = time.process_time()
        if command == "fetch":
            await fetch(client, *arguments)
        else:
            messages, saves = (*arguments, True)[:2]
            expected += messages
            await inbox.wait_for(expected)
            if saves:
                await save(client)
                await flush(session)
        parent.send(time.process_time() - start)
        if command == "warm up":
            gc.collect()
            gc.freeze()
    await client.disconnect()
    parent.send("ended")


async def fetch(client: TelegramClient, channel: dict[str, int]) -> None:
    """Fetches all members of a channel."""
    peer = types.InputChannel(channel["id"], channel["access_hash"])
    for offset in range(0, MEMBERS, PAGE):
        request = functions.channels.GetParticipantsRequest(
            peer, types.ChannelParticipantsRecent(), offset, PAGE, hash=0
        )
        page = await client(request)
        assert len(page.users) == PAGE

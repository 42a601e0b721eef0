"""A real client receives updates from a data centre on 127.0.0.1: how much of its CPU goes into the session."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from telethon import TelegramClient, events
from telethon.sessions import SQLiteSession

from people import PAGE
from report import Row, Theme, medians, percent
from sides import settle, turns
from stage import Stage
from support.loopback import trust
from support.loopback.client_side import at_home
from support.loopback.process import LoopbackProcess, RemoteAccount
from telethon_session_rust import RustSQLiteSession

# Whom the client has met before it is measured, and the part of the later updates that comes from them.
KNOWN = 20_000
FROM_KNOWN = 0.9
# A client saves once a minute; a busy one has received some thousand messages by then.
SAVE_EVERY = 2_000
# Every so many entities in a row of the loopback's world there are 16 users, 3 channels and a group.
BLOCK = 20
# Everything that Telethon calls of a session while it is connected.
CALLS = ("process_entities", "get_input_entity", "get_update_state", "get_update_states", "set_update_state", "save")
LIMIT = 0.03


@dataclass(frozen=True)
class Packet:
    """One `Updates` with entities `first` to `first + count` of the world, and messages in private and in channels."""

    first: int
    count: int
    messages_of_each: int

    @property
    def messages(self) -> int:
        return 2 * self.messages_of_each


@dataclass(frozen=True)
class Order:
    """What the client's process has to know. `warm` and `measured` are numbers of messages."""

    cls: type
    path: str
    dc: tuple[int, str, int]
    public_key: str
    token: str
    warm: int
    measured: int


@dataclass(frozen=True)
class Spent:
    """CPU seconds: of the process, of its other threads, and in the session's calls."""

    process: float
    other_threads: float
    calls: float


def measure(stage: Stage) -> Theme:
    found = asyncio.run(rounds(stage))

    def share(cls: type, with_threads: bool) -> float:
        return median((one.calls + one.other_threads * with_threads) / one.process for one in found[cls])

    def row(what: str, with_threads: bool) -> Row:
        theirs, ours = (share(cls, with_threads) for cls in (SQLiteSession, RustSQLiteSession))
        if not with_threads:
            return Row(what, percent(theirs), percent(ours))
        return Row(what, percent(theirs), percent(ours), reach=f"≤ {percent(LIMIT)}", met=ours <= LIMIT)

    return Theme(
        "Receiving updates",
        f"{stage.scale.messages:,} messages from a data centre in another process; three of four updates bring 4"
        f" entities, the fourth {BLOCK}; {FROM_KNOWN:.0%} come from among {KNOWN:,} who are known. A handler asks for"
        f" sender and chat; saved every {SAVE_EVERY:,} messages. {medians(stage.scale.rounds)}",
        [
            row("the session's share of the client's CPU, all threads", True),
            row("the same, the session's calls alone", False),
        ],
    )


async def rounds(stage: Stage) -> dict[type, list[Spent]]:
    found: dict[type, list[Spent]] = defaultdict(list)
    async with LoopbackProcess() as telegram:
        for number in range(stage.scale.rounds):
            stage.say(f"receiving: round {number + 1} of {stage.scale.rounds}")
            for cls in turns((SQLiteSession, RustSQLiteSession), number):
                with stage.room() as room:
                    found[cls].append(await one_client(telegram, cls, room, stage.scale.messages))
    return found


async def one_client(telegram: LoopbackProcess, cls: type, room: Path, messages: int) -> Spent:
    bot = await telegram.new_bot()
    known = [Packet(first, PAGE, 1) for first in range(0, KNOWN, PAGE)]
    stream = packets(messages)
    (dc_id, port), *_ = telegram.ports.items()
    order = Order(
        cls,
        str(room / "bot"),
        (dc_id, telegram.host, port),
        telegram.public_key,
        bot.token or "",
        warm=sum(packet.messages for packet in known),
        measured=sum(packet.messages for packet in stream),
    )
    here, there = get_context("spawn").Pipe()
    client = get_context("spawn").Process(target=be_client, args=(there, order))
    client.start()
    # If the client dies, reading must fail instead of waiting.
    there.close()
    await asyncio.to_thread(here.recv)
    await push(telegram, bot, known)
    await asyncio.to_thread(here.recv)
    await push(telegram, bot, stream)
    spent = await asyncio.to_thread(here.recv)
    client.join()
    return spent


def packets(messages: int) -> list[Packet]:
    """What a busy bot gets: mostly a sender or two and their chats, now and then a crowd; few of them new."""
    chance = random.Random(1)
    made: list[Packet] = []
    total, new = 0, KNOWN // BLOCK
    while total < messages:
        if chance.random() < FROM_KNOWN:
            block = chance.randrange(KNOWN // BLOCK)
        else:
            block, new = new, new + 1
        # The last two users of the block and its first two channels, or all of it.
        is_crowd = len(made) % 4 == 3
        made.append(Packet(block * BLOCK, BLOCK, 3) if is_crowd else Packet(block * BLOCK + 14, 4, 1))
        total += made[-1].messages
    return made


async def push(telegram: LoopbackProcess, bot: RemoteAccount, stream: list[Packet]) -> None:
    for packet in stream:
        await telegram.push_crowd(bot, packet.count, packet.first, packet.messages_of_each)


def be_client(parent: Connection, order: Order) -> None:
    """The client's process."""
    asyncio.run(receive(parent, order))


async def receive(parent: Connection, order: Order) -> None:
    trust(order.public_key)
    clock = Clock()
    session = at_home(clock.timed(order.cls)(order.path), *order.dc)
    client = TelegramClient(session, 1, "hash")
    await client.start(bot_token=order.token)
    inbox = Inbox(client)
    parent.send("connected")
    await inbox.wait_for(order.warm)
    await save(client)
    await settle(session)
    gc.collect()
    gc.freeze()
    parent.send("warm")

    clock.start()
    process, thread = time.process_time(), time.thread_time()
    for messages in range(SAVE_EVERY, order.measured, SAVE_EVERY):
        await inbox.wait_for(order.warm + messages)
        await save(client)
    await inbox.wait_for(order.warm + order.measured)
    await save(client)
    await settle(session)
    process, thread = time.process_time() - process, time.thread_time() - thread
    parent.send(Spent(process - clock.overhead, process - thread, clock.seconds))
    await client.disconnect()


async def save(client: TelegramClient) -> None:
    """What the client does by itself once a minute."""
    await client._save_states_and_entities()
    client.session.save()


class Clock:
    """CPU seconds of this thread in the calls of a session, without those that the clock itself takes."""

    def __init__(self) -> None:
        self._read = 0.0
        self._calls = 0
        self._own = self._cost()

    @property
    def seconds(self) -> float:
        return self._read - self._calls * self._own

    @property
    def overhead(self) -> float:
        """What reading the clock has cost: twice a call, of which one is half inside what is read and half outside."""
        return 2 * self._calls * self._own

    def start(self) -> None:
        self._read, self._calls = 0.0, 0

    @staticmethod
    def _cost() -> float:
        """Of one reading, as the thread's clock has it."""
        begun = time.thread_time()
        for _ in range(9_999):
            time.thread_time()
        return (time.thread_time() - begun) / 10_000

    def timed(self, cls: type) -> type:
        """The same class with a clock on the methods that Telethon calls, and on none that those call."""

        def clocked(name: str) -> Any:
            method = getattr(cls, name)

            def call(session: Any, *args: Any) -> Any:
                begun = time.thread_time()
                try:
                    return method(session, *args)
                finally:
                    self._read += time.thread_time() - begun
                    self._calls += 1

            return call

        return type(cls.__name__, (cls,), {name: clocked(name) for name in CALLS})


class Inbox:
    """Counts messages, and does with each what a bot does that answers."""

    def __init__(self, client: TelegramClient) -> None:
        self._count = 0
        self._changed = asyncio.Event()
        client.add_event_handler(self._on_message, events.NewMessage)

    async def _on_message(self, event: Any) -> None:
        await event.get_input_sender()
        await event.get_input_chat()
        self._count += 1
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        while self._count < count:
            self._changed.clear()
            await self._changed.wait()

"""A real client receives updates from a data centre on 127.0.0.1: the session's share of its CPU
time.
"""

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

from common import flush, rotated
from dataset import PAGE
from harness import Harness
from report import Row, Section, medians, percent
from support.loopback import trust
from support.loopback.client_side import at_home
from support.loopback.process import LoopbackProcess, RemoteAccount
from telethon_session_rust import RustSQLiteSession

# Entities that the client receives before it is measured, and the share of later updates that come
# from them.
KNOWN = 20_000
FROM_KNOWN = 0.9
# A client saves once a minute, in which a busy one receives a few thousand messages.
SAVE_EVERY = 2_000
# Each block of this many consecutive entities of `World` has 16 users, 3 channels and a group.
BLOCK = 20
# The methods of a session that Telethon calls while it is connected.
CALLS = ("process_entities", "get_input_entity", "get_update_state", "get_update_states", "set_update_state", "save")
MAX_SHARE = 0.03


@dataclass(frozen=True)
class Packet:
    """An `Updates` with the entities from `first` to `first + count` of `World`, and private and
    channel messages.
    """

    first: int
    count: int
    messages_of_each: int

    @property
    def messages(self) -> int:
        return 2 * self.messages_of_each


@dataclass(frozen=True)
class ClientConfig:
    """The configuration of the client process; `warmup` and `measured` are numbers of messages."""

    cls: type
    path: str
    dc: tuple[int, str, int]
    public_key: str
    token: str
    warmup: int
    measured: int


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds of the process, of its other threads, and of the session's calls."""

    process: float
    other_threads: float
    calls: float


def measure(harness: Harness) -> Section:
    scale = harness.scale
    found = asyncio.run(run_rounds(harness))

    def share(cls: type, with_threads: bool) -> float:
        return median((cpu.calls + cpu.other_threads * with_threads) / cpu.process for cpu in found[cls])

    def row(what: str, with_threads: bool) -> Row:
        theirs, ours = (share(cls, with_threads) for cls in (SQLiteSession, RustSQLiteSession))
        if not with_threads:
            return Row(what, percent(theirs), percent(ours))
        return Row(what, percent(theirs), percent(ours), target=f"≤ {percent(MAX_SHARE)}", met=ours <= MAX_SHARE)

    return Section(
        "Receiving updates",
        f"{scale.messages:,} messages from a data centre in another process. Three of four updates bring 4 entities,"
        f" the fourth {BLOCK}; {FROM_KNOWN:.0%} of them bring some of {KNOWN:,} known entities. A handler asks for"
        f" sender and chat; the client saves every {SAVE_EVERY:,} messages. {medians(scale.rounds)}",
        [
            row("the session's share of the client's CPU, all threads", True),
            row("the session's share of the client's CPU, calls only", False),
        ],
    )


async def run_rounds(harness: Harness) -> dict[type, list[CpuTimes]]:
    scale = harness.scale
    found: dict[type, list[CpuTimes]] = defaultdict(list)
    async with LoopbackProcess() as telegram:
        for round_number in range(scale.rounds):
            harness.log(f"receiving: round {round_number + 1} of {scale.rounds}")
            for cls in rotated((SQLiteSession, RustSQLiteSession), round_number):
                with harness.temporary_folder() as folder:
                    found[cls].append(await run_client(telegram, cls, folder, scale.messages))
    return found


async def run_client(telegram: LoopbackProcess, cls: type, folder: Path, messages: int) -> CpuTimes:
    bot = await telegram.new_bot()
    known = [Packet(first, PAGE, 1) for first in range(0, KNOWN, PAGE)]
    stream = packets(messages)
    (dc_id, port), *_ = telegram.ports.items()
    config = ClientConfig(
        cls,
        str(folder / "bot"),
        (dc_id, telegram.host, port),
        telegram.public_key,
        bot.token or "",
        warmup=sum(packet.messages for packet in known),
        measured=sum(packet.messages for packet in stream),
    )
    parent_end, child_end = get_context("spawn").Pipe()
    client = get_context("spawn").Process(target=client_process, args=(child_end, config))
    client.start()
    # With its other end closed here too, reading from the pipe fails if the client dies.
    child_end.close()
    await asyncio.to_thread(parent_end.recv)
    await push(telegram, bot, known)
    await asyncio.to_thread(parent_end.recv)
    await push(telegram, bot, stream)
    times = await asyncio.to_thread(parent_end.recv)
    client.join()
    return times


def packets(messages: int) -> list[Packet]:
    """Returns updates as a busy bot receives them: most with one or two senders and chats, some
    with many; few new.
    """
    rng = random.Random(1)
    result: list[Packet] = []
    total, new = 0, KNOWN // BLOCK
    while total < messages:
        if rng.random() < FROM_KNOWN:
            block = rng.randrange(KNOWN // BLOCK)
        else:
            block, new = new, new + 1
        # The last two users of the block and its first two channels, or the whole block.
        is_large = len(result) % 4 == 3
        result.append(Packet(block * BLOCK, BLOCK, 3) if is_large else Packet(block * BLOCK + 14, 4, 1))
        total += result[-1].messages
    return result


async def push(telegram: LoopbackProcess, bot: RemoteAccount, stream: list[Packet]) -> None:
    for packet in stream:
        await telegram.push_crowd(bot, packet.count, packet.first, packet.messages_of_each)


def client_process(parent: Connection, config: ClientConfig) -> None:
    """Runs the client, in its own process."""
    asyncio.run(receive(parent, config))


async def receive(parent: Connection, config: ClientConfig) -> None:
    trust(config.public_key)
    clock = CpuClock()
    session = at_home(clock.timed(config.cls)(config.path), *config.dc)
    client = TelegramClient(session, 1, "hash")
    await client.start(bot_token=config.token)
    inbox = Inbox(client)
    parent.send("connected")
    await inbox.wait_for(config.warmup)
    await save(client)
    await flush(session)
    gc.collect()
    gc.freeze()
    parent.send("warmed up")

    clock.start()
    process, thread = time.process_time(), time.thread_time()
    for messages in range(SAVE_EVERY, config.measured, SAVE_EVERY):
        await inbox.wait_for(config.warmup + messages)
        await save(client)
    await inbox.wait_for(config.warmup + config.measured)
    await save(client)
    await flush(session)
    process, thread = time.process_time() - process, time.thread_time() - thread
    parent.send(CpuTimes(process - clock.overhead, process - thread, clock.seconds))
    await client.disconnect()


async def save(client: TelegramClient) -> None:
    """Saves as the client does once a minute."""
    await client._save_states_and_entities()
    client.session.save()


class CpuClock:
    """The CPU seconds of this thread in a session's calls, without the overhead of reading the
    clock.
    """

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._calls = 0
        self._read_cost = self._measure_read_cost()

    @property
    def seconds(self) -> float:
        return self._elapsed - self._calls * self._read_cost

    @property
    def overhead(self) -> float:
        """The cost of all readings, two for each call. One reading per call is included in
        `_elapsed`.
        """
        return 2 * self._calls * self._read_cost

    def start(self) -> None:
        self._elapsed, self._calls = 0.0, 0

    @staticmethod
    def _measure_read_cost() -> float:
        """Returns the CPU seconds of one reading."""
        start = time.thread_time()
        for _ in range(9_999):
            time.thread_time()
        return (time.thread_time() - start) / 10_000

    def timed(self, cls: type) -> type:
        """Returns a subclass that times the methods that Telethon calls, but not those that they
        call.
        """

        def timed_method(name: str) -> Any:
            method = getattr(cls, name)

            def call(session: Any, *args: Any) -> Any:
                start = time.thread_time()
                try:
                    return method(session, *args)
                finally:
                    self._elapsed += time.thread_time() - start
                    self._calls += 1

            return call

        return type(cls.__name__, (cls,), {name: timed_method(name) for name in CALLS})


class Inbox:
    """Counts messages, and asks for sender and chat of each, as a bot does that replies."""

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

"""One client's visit to the data centre, with a clock on every call of its session and on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telethon import TelegramClient, events
from telethon.sessions import SQLiteSession
from telethon.tl import types
from telethon.utils import get_display_name

from support.loopback import World
from support.loopback.process import LoopbackProcess, RemoteAccount

PAGE = 200
# The client itself saves once a minute; a busy one has met some thousands by then.
SAVE_EVERY = 10_000
CALLS = (
    "process_entities",
    "get_input_entity",
    "set_dc",
    "set_update_state",
    "get_update_states",
    "save",
    "close",
)


@dataclass
class Visit:
    """What was measured, in seconds, and what can be looked up afterwards."""

    time_in_session_calls: float
    longest_session_call_while_receiving: float
    longest_hold_up_of_the_event_loop: float
    a_username_looked_up: float


class Plan:
    """Who comes: four fifths of the entities by updates, the others as participants of a channel."""

    def __init__(self, entities: int, seed: int) -> None:
        world = World(seed)
        self.by_updates = entities * 4 // 5
        self.members = entities - self.by_updates
        by_updates = world.crowd(self.by_updates).users
        # Users that do not come by updates.
        self.first_member = len(by_updates)
        channel = world.channel(self.CHANNEL)
        self.channel = types.InputPeerChannel(channel.id, channel.access_hash)
        self.keys = keys_of(by_updates + world.users(self.members, self.first_member))

    CHANNEL = 0


def keys_of(users: list[types.User]) -> list[int | str]:
    """Id, username, phone and name of somebody who has them all; of several with one name it is the lowest id's."""
    first_with_name = {get_display_name(user): user for user in sorted(users, key=lambda user: -user.id)}
    user = next(user for user in first_with_name.values() if user.username and user.phone)
    return [user.id, user.username, f"+{user.phone}", get_display_name(user)]


class Clock:
    def __init__(self) -> None:
        self.total = 0.0
        self.longest = 0.0

    def timed(self, session_class: type[SQLiteSession]) -> type[SQLiteSession]:
        """The same class, with its calls measured."""

        def measured(name: str) -> Callable[..., Any]:
            method = getattr(session_class, name)

            @functools.wraps(method)
            def call(session: SQLiteSession, *args: Any) -> Any:
                begun = time.perf_counter()
                try:
                    return method(session, *args)
                finally:
                    self.add(time.perf_counter() - begun)

            return call

        return type(session_class.__name__, (session_class,), {name: measured(name) for name in CALLS})

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.longest = max(self.longest, seconds)


async def visit(
    telegram: LoopbackProcess,
    plan: Plan,
    session_class: type[SQLiteSession],
    path: Path,
    on_progress: Callable[[int], None],
) -> Visit:
    """Sign in, take entities by updates and pages of participants, look somebody up, disconnect."""
    account = await telegram.new_user()
    await telegram.gather(plan.CHANNEL, plan.members, plan.first_member)
    calls, loop = Clock(), Clock()
    session = calls.timed(session_class)(str(path))
    client = TelegramClient(telegram.at_home(session), 1, "hash")
    await client.start(lambda: account.phone, code_callback=lambda: account.code)
    calls.longest = 0
    async with watched(loop):
        await take_updates(client, telegram, account, plan, on_progress)
        await take_participants(client, plan, on_progress)
    longest_while_receiving = calls.longest
    found = [await client.get_input_entity(key) for key in plan.keys]
    assert all(peer == found[0] for peer in found)
    looked_up = look_up(session_class, session, plan.keys[1])
    await client.disconnect()
    return Visit(calls.total, longest_while_receiving, loop.longest, looked_up)


async def take_updates(
    client: TelegramClient,
    telegram: LoopbackProcess,
    account: RemoteAccount,
    plan: Plan,
    on_progress: Callable[[int], None],
) -> None:
    arrived = asyncio.Event()
    client.add_event_handler(lambda _: _set(arrived), events.NewMessage)
    for first in range(0, plan.by_updates, PAGE):
        arrived.clear()
        await telegram.push_crowd(account, PAGE, first, messages=1)
        await arrived.wait()
        on_progress(first + PAGE)
        if (first + PAGE) % SAVE_EVERY == 0:
            client.session.save()


async def _set(event: asyncio.Event) -> None:
    event.set()


async def take_participants(client: TelegramClient, plan: Plan, on_progress: Callable[[int], None]) -> None:
    taken = plan.by_updates
    async for _ in client.iter_participants(plan.channel):
        taken += 1
        if taken % PAGE == 0:
            on_progress(taken)
    client.session.save()


@contextlib.asynccontextmanager
async def watched(clock: Clock) -> AsyncIterator[None]:
    """Measures how long the loop keeps a task waiting that wants to go on every millisecond."""

    async def tick() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            clock.add(time.perf_counter() - begun - 0.001)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


def look_up(session_class: type[SQLiteSession], session: SQLiteSession, username: str) -> float:
    """The median time of looking up a username, without the clock in between."""
    times = []
    for _ in range(101):
        begun = time.perf_counter()
        session_class.get_input_entity(session, username)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)

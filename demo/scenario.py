"""What one client does at the data centre, with timers for its session's calls and its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sides import Side
from telethon import TelegramClient, events
from telethon.tl import types
from telethon.utils import get_display_name

from support.loopback import World
from support.loopback.process import LoopbackProcess, RemoteAccount

PAGE = 200
# In entities. A client saves once a minute, in which a busy one receives a few thousand.
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
class Measurements:
    """All in seconds."""

    session_calls: float
    longest_call: float
    longest_block: float
    username_lookup: float


class Workload:
    """The entities that the client receives: four fifths in updates, the rest as participants of a
    channel.
    """

    CHANNEL = 0

    def __init__(self, entities: int, seed: int) -> None:
        world = World(seed)
        self.by_updates = entities * 4 // 5
        self.members = entities - self.by_updates
        by_updates = world.crowd(self.by_updates).users
        # Participants are users that no update brings.
        self.first_member = len(by_updates)
        channel = world.channel(self.CHANNEL)
        self.channel = types.InputPeerChannel(channel.id, channel.access_hash)
        self.keys = keys_of(by_updates + world.users(self.members, self.first_member))


def keys_of(users: list[types.User]) -> list[int | str]:
    """Returns the ID, username, phone and name of one user. If users share a name, it belongs to
    the lowest ID.
    """
    first_with_name = {get_display_name(user): user for user in sorted(users, key=lambda user: -user.id)}
    user = next(user for user in first_with_name.values() if user.username and user.phone)
    return [user.id, user.username, f"+{user.phone}", get_display_name(user)]


class Timer:
    def __init__(self) -> None:
        self.total = 0.0
        self.longest = 0.0

    def time_calls(self, session: Any) -> None:
        """Has the calls of a session timed from now on."""
        cls = type(session)

        def timed_method(name: str) -> Callable[..., Any]:
            method = getattr(cls, name)

            @functools.wraps(method)
            def call(session: Any, *args: Any) -> Any:
                start = time.perf_counter()
                try:
                    return method(session, *args)
                finally:
                    self.add(time.perf_counter() - start)

            return call

        session.__class__ = type(cls.__name__, (cls,), {name: timed_method(name) for name in CALLS})

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.longest = max(self.longest, seconds)


async def run_scenario(
    telegram: LoopbackProcess,
    workload: Workload,
    side: Side,
    on_progress: Callable[[int], None],
) -> Measurements:
    """Signs in, receives updates and pages of participants, looks an entity up, and disconnects."""
    account = await telegram.new_user()
    await telegram.gather(workload.CHANNEL, workload.members, workload.first_member)
    calls, loop = Timer(), Timer()
    session = await asyncio.to_thread(side.open)
    session_class = type(session)
    calls.time_calls(session)
    client = TelegramClient(telegram.at_home(session), 1, "hash")
    await client.start(lambda: account.phone, code_callback=lambda: account.code)
    calls.longest = 0
    async with timed_loop(loop):
        await receive_updates(client, telegram, account, workload, on_progress)
        await receive_participants(client, workload, on_progress)
    longest_call = calls.longest
    found = [await client.get_input_entity(key) for key in workload.keys]
    # Several users share the name, of which the community's packages return any.
    certain = found if side.is_ours else found[:-1]
    assert all(peer == found[0] for peer in certain)
    lookup = time_lookup(session_class, session, workload.keys[1])
    await client.disconnect()
    return Measurements(calls.total, longest_call, loop.longest, lookup)


async def receive_updates(
    client: TelegramClient,
    telegram: LoopbackProcess,
    account: RemoteAccount,
    workload: Workload,
    on_progress: Callable[[int], None],
) -> None:
    arrived = asyncio.Event()
    client.add_event_handler(lambda _: _set(arrived), events.NewMessage)
    for first in range(0, workload.by_updates, PAGE):
        arrived.clear()
        await telegram.push_crowd(account, PAGE, first, messages=1)
        await arrived.wait()
        on_progress(first + PAGE)
        if (first + PAGE) % SAVE_EVERY == 0:
            client.session.save()


async def _set(event: asyncio.Event) -> None:
    event.set()


async def receive_participants(client: TelegramClient, workload: Workload, on_progress: Callable[[int], None]) -> None:
    received = workload.by_updates
    async for _ in client.iter_participants(workload.channel):
        received += 1
        if received % PAGE == 0:
            on_progress(received)
    client.session.save()


@contextlib.asynccontextmanager
async def timed_loop(timer: Timer) -> AsyncIterator[None]:
    """Measures the longest delay of a task that runs every millisecond."""

    async def tick() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            timer.add(time.perf_counter() - start - 0.001)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


def time_lookup(session_class: type, session: Any, username: str) -> float:
    """Returns the median time of a lookup of a username, without a timed method in between."""
    times = []
    for _ in range(101):
        start = time.perf_counter()
        session_class.get_input_entity(session, username)
        times.append(time.perf_counter() - start)
    return statistics.median(times)

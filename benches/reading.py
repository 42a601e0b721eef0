"""`tgread_object`: Telethon's reader, ours, and the floor: calling each class with ready values."""

from __future__ import annotations

import gc
import struct
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median
from types import FunctionType
from typing import Any

from telethon.extensions import BinaryReader, binaryreader
from telethon.tl import types
from telethon.tl.alltlobjects import tlobjects

from common import gc_disabled, in_subprocess, native_reader, rotated
from harness import Harness
from report import Row, Section, at_most, bytes_each, medians, over_floor, seconds, speedup, times
from support.loopback import World

THEIRS, OURS, FLOOR = "Telethon", "ours", "floor"
SIDES = (THEIRS, OURS, FLOOR)
DATE = datetime(2024, 1, 1, tzinfo=timezone.utc)
WORLD = World()
THUMBNAIL = bytes(range(100))
FIRST_USE = 1e-3
FIRST_READS = 4
MEMORY, ACCESS = 1.01, 1.03
ACCESS_TURNS = 60


@dataclass(frozen=True)
class Case:
    """What is read; `count` inputs in each turn, made for a number. Targets as multiples.

    A call that makes thousands of objects is also measured with garbage collection, which it
    triggers. That is the figure with the target.
    """

    what: str
    make: Callable[[int], Any]
    count: int
    turns: int
    speedup: float
    over_floor: float | None = None
    collects: bool = False


def participants(number: int) -> types.channels.ChannelParticipants:
    users = WORLD.users(200, number * 200)
    joined = [types.ChannelParticipant(user.id, DATE) for user in users]
    return types.channels.ChannelParticipants(len(users), joined, [], users)


def contacts(number: int) -> types.contacts.Contacts:
    users = WORLD.users(5_000, number * 5_000)
    return types.contacts.Contacts([types.Contact(user.id, True) for user in users], len(users), users)


def update(number: int) -> types.Updates:
    """Returns what a busy group brings: a message, with four users that it mentions, and the group."""
    users, (channel, *_) = WORLD.users(4, number * 4), WORLD.channels(1, number)
    message = _message(number, types.PeerChannel(channel.id), from_id=types.PeerUser(users[0].id))
    return types.Updates([types.UpdateNewChannelMessage(message, number, 1)], users, [channel], DATE, 0)


def message(number: int) -> types.Message:
    return _message(number, types.PeerUser(WORLD.user(number).id))


def _message(number: int, peer: Any, **fields: Any) -> types.Message:
    return types.Message(id=number, peer_id=peer, message=f"Message number {number}", date=DATE, **fields)


def user(number: int) -> types.User:
    made = WORLD.user(number)
    made.photo = types.UserProfilePhoto(photo_id=number, dc_id=2, stripped_thumb=THUMBNAIL)
    made.status = types.UserStatusOffline(was_online=DATE)
    return made


def channel(number: int) -> types.Channel:
    made = WORLD.channel(number)
    made.photo = types.ChatPhoto(photo_id=number, dc_id=2, stripped_thumb=THUMBNAIL)
    made.default_banned_rights = types.ChatBannedRights(until_date=DATE, change_info=True, pin_messages=True)
    made.participants_count = number
    return made


CASES = [
    Case("a page of 200 participants", participants, 8, 8, 8, 0.5, collects=True),
    Case("5,000 contacts", contacts, 1, 3, 10, 0.5, collects=True),
    Case("an update with four users", update, 100, 8, 6, 0.5),
    Case("a message", message, 400, 8, 5),
    Case("a User with photo and status", user, 400, 8, 7),
    Case("a Channel", channel, 400, 8, 5),
    Case("a Chat", WORLD.chat, 400, 8, 4),
]
WITHOUT = ", without garbage collection"


def measure(harness: Harness) -> Section:
    rounds = harness.scale.rounds
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for case in CASES:
        harness.log(f"reading: {case.what}")
        turns = rounds * case.turns
        measure_case(case, case.what, turns, found, gc_enabled if case.collects else gc_disabled)
        if case.collects:
            measure_case(case, case.what + WITHOUT, turns, found, gc_disabled)
    of = {key: median(values) for key, values in found.items()}
    rows = []
    for case in CASES:
        what = case.what
        rows.append(speedup(what, of[what, THEIRS], of[what, OURS], seconds, case.speedup))
        rows.append(over_floor(f"{what}, against the floor", of[what, OURS], of[what, FLOOR], seconds, case.over_floor))
        if case.collects:
            what += WITHOUT
            rows.append(speedup(what, of[what, THEIRS], of[what, OURS], seconds))
    harness.log("reading: memory, attributes, first use")
    return Section(
        "Reading what is received",
        "CPU time to read one such input with `BinaryReader.tgread_object`, from bytes that no side has read before,"
        " when all classes have been met. The floor calls the class of each object with ready values. Garbage"
        " collection is enabled for pages and contacts, as in a client, but does not visit older objects. Then what"
        " objects cost that ours has made, compared with Telethon's; and the longest of the first reads of a class,"
        f" in which it is planned: the least of {harness.scale.rounds} processes. {medians(rounds)}"
        " Each round has several turns of each side.",
        [*rows, memory_row(), access_row(), *first_use_rows(harness)],
    )


@contextmanager
def gc_enabled() -> Iterator[None]:
    """Collects garbage as in a client, but not among the objects that exist already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def reader_of(side: str) -> AbstractContextManager[None]:
    return native_reader() if side == OURS else nullcontext()


def measure_case(case: Case, what: str, turns: int, found: Any, collector: Any) -> None:
    """Measures each side in turns, each turn with inputs that were not read before."""
    warm_up = case.make(0)._bytes()
    with native_reader():
        for _ in range(5):
            BinaryReader(warm_up).tgread_object()
    number = 1
    for turn in range(turns):
        for side in rotated(SIDES, turn):
            inputs = [case.make(number + more)._bytes() for more in range(case.count)]
            number += case.count
            calls = [ready(data) for data in inputs] if side == FLOOR else [BinaryReader(data) for data in inputs]
            with collector(), reader_of(side):
                elapsed = time_floor(calls) if side == FLOOR else time_reads(calls)
            found[what, side].append(elapsed / case.count)


def time_reads(readers: list[BinaryReader]) -> float:
    results: list[Any] = []
    keep = results.append
    start = time.thread_time()
    for reader in readers:
        keep(reader.tgread_object())
    return time.thread_time() - start


def time_floor(calls: list[list[tuple[type, dict[str, Any]]]]) -> float:
    results: list[Any] = []
    keep = results.append
    start = time.thread_time()
    for call in calls:
        keep([cls(**values) for cls, values in call])
    return time.thread_time() - start


def ready(data: bytes) -> list[tuple[type, dict[str, Any]]]:
    """Returns the class and the values of each object in these bytes."""
    calls: list[tuple[type, dict[str, Any]]] = []

    class Recorder:
        """Stands in for the dictionary of all classes."""

        def get(self, constructor_id: int, default: Any) -> Any:
            cls = tlobjects.get(constructor_id, default)
            return cls and Recorded(cls)

    class Recorded:
        def __init__(self, cls: Any) -> None:
            self.cls = cls

        def from_reader(self, reader: BinaryReader) -> Any:
            return self.cls.from_reader.__func__(self.make, reader)

        def make(self, **values: Any) -> Any:
            calls.append((self.cls, values))
            return self.cls(**values)

    binaryreader.tlobjects = Recorder()
    try:
        BinaryReader(data).tgread_object()
    finally:
        binaryreader.tlobjects = tlobjects
    return calls


def no_more_than(what: str, theirs: float, ours: float, unit: Callable[[float], str], limit: float) -> Row:
    """Returns a row with our figure divided by Telethon's, which must not exceed the limit."""
    ratio = ours / theirs
    return Row(what, unit(theirs), unit(ours), "", f"{ratio:.3f} x", f"≤ {times(limit)}", ratio <= limit)


def memory_row() -> Row:
    """Compares the memory of pages and updates, which are kept."""

    def of(side: str) -> float:
        inputs = [case.make(number)._bytes() for case in (CASES[0], CASES[2]) for number in range(20)]
        with reader_of(side):
            keep = [BinaryReader(data).tgread_object() for data in inputs * 2]
            tracemalloc.start()
            try:
                keep += [BinaryReader(data).tgread_object() for data in inputs]
                return tracemalloc.get_traced_memory()[0] / 20
            finally:
                tracemalloc.stop()

    return no_more_than("memory of a page and an update", of(THEIRS), of(OURS), bytes_each, MEMORY)


def access_row() -> Row:
    """Compares the time of reading attributes."""

    def access(users: list[types.User], chats: list[types.Chat], messages: list[types.Message]) -> None:
        for each in users:
            each.id, each.access_hash, each.username, each.first_name, each.bot, each.status  # noqa: B018
        for each in chats:
            each.id, each.title, each.date, each.version, each.left, each.photo  # noqa: B018
        for each in messages:
            each.id, each.peer_id, each.date, each.message, each.out, each.media  # noqa: B018

    def copied(function: Any) -> Any:
        """Returns a function with code of its own, which the interpreter specialises for its side."""
        return FunctionType(function.__code__.replace(), function.__globals__)

    lists: dict[str, list[Any]] = {}
    functions = {side: copied(access) for side in (THEIRS, OURS)}
    for side in (THEIRS, OURS):
        with reader_of(side):
            lists[side] = [
                [BinaryReader(make(number)._bytes()).tgread_object() for number in range(200)] * 10
                for make in (user, WORLD.chat, message)
            ]
    # Pairs that follow each other are equally disturbed by the rest of the machine.
    found: dict[str, list[float]] = defaultdict(list)
    with gc_disabled():
        for turn in range(ACCESS_TURNS):
            for side in rotated((THEIRS, OURS), turn):
                start = time.thread_time()
                functions[side](*lists[side])
                found[side].append((time.thread_time() - start) / (3 * 200 * 10 * 6))
    return no_more_than("reading an attribute", min(found[THEIRS]), min(found[OURS]), seconds, ACCESS)


def first_use_rows(harness: Harness) -> list[Row]:
    rounds = [in_subprocess(first_uses) for _ in range(harness.scale.rounds)]
    least = [min(each) for each in zip(*rounds, strict=True)]
    count = f"{len(least):,} classes"
    return [
        at_most(f"first use of a class, the slowest of {count}", max(least), FIRST_USE, seconds),
        Row(f"first use of a class, the median of {count}", ours=seconds(median(least))),
    ]


def first_uses() -> list[float]:
    """Returns the seconds of the longest of the first reads of each class. Call in a new process.

    The input ends behind the constructor's ID. So no other class is met, and reading fails after
    the class has been planned, which takes two reads for some.
    """
    found = []
    with native_reader(), gc_disabled():
        for constructor_id in tlobjects:
            readers = [BinaryReader(struct.pack("<I", constructor_id)) for _ in range(FIRST_READS)]
            longest = 0.0
            for reader in readers:
                start = time.thread_time()
                with suppress(Exception):
                    reader.tgread_object()
                longest = max(longest, time.thread_time() - start)
            found.append(longest)
    return found

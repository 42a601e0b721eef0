"""Sessions on servers: ours and those of the community's packages, on the same server."""

from __future__ import annotations

import importlib.util
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from statistics import median
from typing import Any

from telethon import utils
from telethon.tl import types

import bulk_loaders
from common import gc_disabled, rotated
from harness import Harness
from report import CONSOLE, Row, Section, at_most, number, over_floor, seconds, speedup

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import servers
from support.servers import community
from support.servers.proxy import Proxy
from telethon_session_rust import open_session

STORED = 20_000
# The packages store these, and the figure is scaled, because they take a minute and more for all.
STORED_BY_THEM = 1_000
KNOWN = 100_000
ACCOUNTS = 1_000
CHANGED_EACH_SECOND = 5
DISTANCE = 0.02

# How many times faster than the community's package: storing, a lookup, opening.
TARGETS = {"redis": (50, 1000, 20), "postgres": (50, 1000, 1), "mysql": (50, 1000, 1), "mongodb": (30, 1000, 1)}
NEEDED = {"redis": "redis", "postgres": "psycopg2", "mysql": "pymysql", "mongodb": "pymongo"}

Figures = defaultdict[str, list[float]]


def measure(harness: Harness) -> Section:
    rows: list[Row] = []
    for kind in servers.KINDS:
        if not servers.KINDS[kind].is_installed() or not importlib.util.find_spec(NEEDED[kind]):
            CONSOLE.print(f"[dim]stores: no server or client library for {kind} here[/]")
            continue
        harness.log(f"stores: {kind}")
        with servers.running(kind) as server:
            rows += measure_store(harness, kind, server)
            rows += measure_accounts(harness, kind, server)
    known = min(KNOWN, harness.scale.largest)
    return Section(
        "Stores on servers",
        "Beside the community's package on the same server: teleredis, telethon-session-sqlalchemy and"
        f" telemongo, which store {STORED_BY_THEM:,} entities, scaled to {STORED:,}."
        " The floor of storing is the server's own bulk loader with the same rows, prepared beforehand, into the"
        " same tables; it compares nothing with what is there. That ratio is ours divided by it."
        f" Opening and lookups are among {known:,} entities."
        f" {ACCOUNTS:,} accounts of one process are on a server that is {DISTANCE * 1000:.0f} ms"
        f" away, and {CHANGED_EACH_SECOND} entities of each change every second.",
        rows,
    )


def rows_of(harness: Harness, count: int) -> list[community.Row]:
    """Returns the rows of the first entities of the dataset, as Telethon's sessions have them."""
    rows = []
    for page in harness.dataset.pages(harness.dataset.page_numbers(count)):
        for entity in (*page.users, *page.chats):
            username, phone = getattr(entity, "username", None), getattr(entity, "phone", None)
            peer = utils.get_input_peer(entity)
            access_hash = getattr(peer, "access_hash", 0)
            rows.append((utils.get_peer_id(entity), access_hash, username, phone, utils.get_display_name(entity)))
    return rows


def measure_store(harness: Harness, kind: str, server: servers.Server) -> Iterator[Row]:
    known = min(KNOWN, harness.scale.largest)
    rows = rows_of(harness, known)
    their_url, our_url = server.url("theirs"), server.url("ours")
    community.fill(kind, their_url, rows)
    session = open_session(f"{our_url}#known", timeout=60)
    for number_ in harness.dataset.page_numbers(known):
        session.process_entities(harness.dataset.page(number_))
    session.close()
    figures: Figures = defaultdict(list)
    rng = random.Random(5)
    usernames = [row[2] for row in rows if row[2]]
    sides: list[tuple[str, Callable[[], Any]]] = [
        ("theirs", lambda: community.open_session(kind, their_url)),
        ("ours", lambda: open_session(f"{our_url}#known", timeout=60)),
    ]
    for round_number in range(harness.scale.rounds):
        for side, open_side in rotated(sides, round_number):
            with gc_disabled():
                open_and_look_up(side, open_side, rng.choice(usernames), usernames, figures)
    for round_number in range(harness.scale.rounds):
        session = open_session(f"{our_url}#stored_{round_number}")
        figures["ours stored"].append(store(session, harness, STORED, 200))
        session.close()
        with harness.temporary_folder() as folder:
            names = f"stored_{round_number}", f"loaded_{round_number}"
            figures["loaded"].append(bulk_loaders.load(kind, our_url, *names, folder))
    # Page by page as they come, one by one where a page would lose entities.
    page = 1 if kind == "redis" else 200
    theirs = store(community.open_session(kind, their_url), harness, STORED_BY_THEM, page)
    of = {what: median(values) for what, values in figures.items()}
    storing, lookup, opening = TARGETS[kind]
    yield speedup(
        f"{kind}: storing {STORED:,} entities", theirs * STORED / STORED_BY_THEM, of["ours stored"], seconds, storing
    )
    yield over_floor(
        f"{kind}: the same, beside the server's own bulk loader",
        of["ours stored"],
        of["loaded"],
        seconds,
        remark=f"by {bulk_loaders.LOADERS[kind]}",
    )
    yield speedup(f"{kind}: a username", of["theirs lookup"], of["ours lookup"], seconds, lookup)
    yield speedup(f"{kind}: opening and first username", of["theirs first"], of["ours first"], seconds, opening)
    yield at_most(f"{kind}: until everything is in memory", of["ours loading"], 1, seconds)


def open_and_look_up(
    side: str, open_side: Callable[[], Any], username: str, usernames: list[str], figures: Figures
) -> None:
    # teleredis does not find every entity that it has stored.
    may_miss = suppress(ValueError) if side == "theirs" else nullcontext()
    begin = time.perf_counter()
    session = open_side()
    with may_miss:
        session.get_input_entity(username)
    figures[f"{side} first"].append(time.perf_counter() - begin)
    if side == "ours":
        while not session._is_loaded():
            time.sleep(0.001)
        figures["ours loading"].append(time.perf_counter() - begin)
    keys = random.Random(7).sample(usernames, 1 if side == "theirs" else 1000)
    begin = time.perf_counter()
    for key in keys:
        with may_miss:
            session.get_input_entity(key)
    figures[f"{side} lookup"].append((time.perf_counter() - begin) / len(keys))
    if side == "ours":
        session.close()


def store(session: Any, harness: Harness, count: int, page_size: int) -> float:
    """Returns how long it takes until the first entities of the dataset are on the server."""
    # Other ones than those that are stored already.
    users = [
        types.User(2**40 + number_, access_hash=number_, username=f"user_{number_}", first_name=f"Anna {number_}")
        for number_ in range(count)
    ]
    pages = [users[first : first + page_size] for first in range(0, count, page_size)]
    with gc_disabled():
        begin = time.perf_counter()
        for page in pages:
            session.process_entities(page)
        session.save()
        return time.perf_counter() - begin


def measure_accounts(harness: Harness, kind: str, server: servers.Server) -> Iterator[Row]:
    """Many accounts of one process on a server that is far away."""
    count = ACCOUNTS if not harness.scale.is_quick else ACCOUNTS // 5
    with Proxy(server.port) as proxy:
        url = proxy.url(server.url("accounts"))
        sessions = [open_session(f"{url}#account_{number_}", timeout=60) for number_ in range(count)]
        # Half of it each way.
        proxy.delay = DISTANCE / 2
        worst = 0.0
        for second in range(3 if harness.scale.is_quick else 10):
            begin = time.perf_counter()
            done = [threading.Event() for _ in sessions]
            import asyncio

            async def change(second: int = second) -> None:
                for number_, session in enumerate(sessions):
                    session.process_entities(
                        [
                            types.User(number_ * 100 + each, access_hash=second + 1, first_name=f"Anna {second}")
                            for each in range(CHANGED_EACH_SECOND)
                        ]
                    )
                await asyncio.gather(*(session.flush() for session in sessions))

            asyncio.run(change())
            del done
            worst = max(worst, time.perf_counter() - begin)
            time.sleep(max(0, begin + 1 - time.perf_counter()))
        threads, connections = threads_of_this_process(), proxy.open_connections
        proxy.delay = 0
        for session in sessions:
            session.close()
    yield at_most(f"{kind}: {count:,} accounts, until all is on the server", worst, 2, seconds)
    yield at_most(f"{kind}: threads of that process", threads, 8, number)
    yield at_most(f"{kind}: connections of that process", connections, 16, number)


def threads_of_this_process() -> int:
    """Returns the number of threads besides those of the proxy."""
    return len([*Path("/proc/self/task").iterdir()]) - 1

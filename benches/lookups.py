"""Looking up an entity by ID, username, phone and name, among few and among many."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Protocol

from telethon import utils
from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from common import gc_disabled, make_session, rotated
from dataset import Key, LookupKeys, fresh
from harness import Harness
from kurigram import KurigramStorage
from report import Row, Section, at_most, medians, number, over_floor, seconds, speedup
from telethon_session_rust import RustSQLiteSession

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LOOKUPS = 20_000
# A side that scans the table does as many lookups as read a million rows, but at least this number.
MIN_SCANS = 6

Times = dict[tuple[int, str, str], list[float]]


class Side(Protocol):
    name: str
    scans: bool

    def put(self, page: types.contacts.ResolvedPeer) -> None: ...

    def flush(self) -> None:
        """Stores the entities as a program finds them when it starts."""

    def timed(self, keys: list[Key]) -> float:
        """Returns seconds per lookup."""

    def find(self, key: Key) -> int:
        """Returns the marked ID."""

    def close(self) -> None: ...


class SessionSide:
    def __init__(self, cls: type, path: Path) -> None:
        self.name = cls.__name__
        self.scans = cls is not RustSQLiteSession
        self._session = make_session(cls, path)

    def put(self, page: types.contacts.ResolvedPeer) -> None:
        self._session.process_entities(page)

    def flush(self) -> None:
        self._session.save()

    def timed(self, keys: list[Key]) -> float:
        find = self._session.get_input_entity
        start = time.perf_counter()
        for key in keys:
            try:  # noqa: SIM105 (suppress() costs more than some lookups)
                find(key)
            except ValueError:  # an unknown username
                pass
        return (time.perf_counter() - start) / len(keys)

    def find(self, key: Key) -> int:
        return utils.get_peer_id(self._session.get_input_entity(key))

    def close(self) -> None:
        self._session.close()


class DictSide:
    """The floor: the cheapest way in Python from a username to an input peer."""

    name = "dict"
    scans = False

    def __init__(self) -> None:
        self._peers: dict[str, tuple[int, int]] = {}

    def put(self, page: types.contacts.ResolvedPeer) -> None:
        for entity in (*page.users, *page.chats):
            if getattr(entity, "username", None):
                self._peers[entity.username.lower()] = (entity.id, entity.access_hash)

    def flush(self) -> None:
        pass

    def timed(self, keys: list[Key]) -> float:
        peers, make_peer = self._peers, types.InputPeerUser
        start = time.perf_counter()
        for name in keys:
            make_peer(*peers[name.lower()])
        return (time.perf_counter() - start) / len(keys)

    def find(self, key: Key) -> int:
        return self._peers[str(key).lower()][0]

    def close(self) -> None:
        pass


class Population:
    """A number of entities that every side has stored."""

    def __init__(self, harness: Harness, folder: Path, count: int, largest: int) -> None:
        harness.log(f"lookups: storing {count:,} entities")
        self.count = count
        self.keys = LookupKeys()
        sessions: list[Side] = [
            SessionSide(cls, folder / f"{count}-{cls.__name__}") for cls in (SQLiteSession, RustSQLiteSession)
        ]
        kurigram = KurigramStorage(folder, f"{count}-kurigram")
        self.sides: list[Side] = [*sessions, SessionSide(MemorySession, folder), kurigram, DictSide()]
        self.sides_by_kind: dict[str, list[Side]] = {"username": self.sides}
        if count in (SIZES[0], largest):
            self.sides_by_kind |= dict.fromkeys(("phone", "name"), sessions)
        if count == SIZES[0]:
            self.sides_by_kind["id"] = sessions
        if count == largest:
            self.sides_by_kind |= dict.fromkeys(("shared name", "unknown username"), sessions)
        for page_number in harness.dataset.page_numbers(count):
            page = harness.dataset.page(page_number)
            self.keys.add(page)
            for side in self.sides:
                side.put(page)
        for side in self.sides:
            side.flush()
        self._check()

    def _check(self) -> None:
        """Checks that all sides find identical entities."""
        for kind, sides in self.sides_by_kind.items():
            for key in self.keys.draw(kind, MIN_SCANS, MIN_SCANS, random.Random(0))[0]:
                if kind != "unknown username":
                    assert len({side.find(key) for side in sides}) == 1, f"the sides disagree about {key}"

    def measure(self, round_number: int, times: Times) -> None:
        rng = random.Random(round_number)
        for kind, sides in self.sides_by_kind.items():
            few, many = self.keys.draw(kind, max(MIN_SCANS, SIZES[-1] // self.count), LOOKUPS, rng)
            for side in rotated(sides, round_number):
                times[self.count, kind, side.name].append(side.timed(fresh(few if side.scans else many)))

    def close(self) -> None:
        for side in self.sides:
            side.close()


def measure(harness: Harness) -> Section:
    sizes = [size for size in SIZES if size <= harness.scale.largest]
    times: Times = defaultdict(list)
    with harness.temporary_folder() as folder:
        populations = [Population(harness, folder, size, sizes[-1]) for size in sizes]
        with gc_disabled():
            for round_number in range(harness.scale.rounds):
                harness.log(f"lookups: round {round_number + 1} of {harness.scale.rounds}")
                for population in rotated(populations, round_number):
                    population.measure(round_number, times)
        for population in populations:
            population.close()
    of = {key: median(values) for key, values in times.items()}
    few, many = sizes[0], sizes[-1]
    # The time of a scan, and thus this ratio, grows with the number of entities.
    target = 20_000 if many == SIZES[-1] else None
    names = [side.name for side in populations[0].sides]
    return Section(
        "Looking up an entity",
        f"Time per lookup with `get_input_entity`: {LOOKUPS:,} per round with ours, each by another key, and fewer with"
        f" Telethon's where it reads all rows. {medians(harness.scale.rounds)}",
        [
            *(against_telethon(of, few, kind, 15) for kind in ("id", "username", "phone", "name")),
            *(against_telethon(of, many, kind, target) for kind in ("username", "phone", "name")),
            *(against_few(of, few, many, kind) for kind in ("username", "phone", "name")),
            against_kurigram(of, many),
            *(against_dict(of, count) for count in (few, many)),
            against_telethon(of, many, "shared name"),
            unknown(of, many, 2e-6 if target else None),
        ],
        curves={name: {size: of[size, "username", name] for size in sizes} for name in names},
    )


Medians = dict[tuple[int, str, str], float]
OURS, THEIRS = RustSQLiteSession.__name__, SQLiteSession.__name__


def against_telethon(of: Medians, count: int, kind: str, target: float | None = None) -> Row:
    what = {
        "shared name": "by a name that several entities have",
        "unknown username": "by an unknown username",
    }.get(kind, f"by {kind}")
    return speedup(f"{what}, among {number(count)}", of[count, kind, THEIRS], of[count, kind, OURS], seconds, target)


def unknown(of: Medians, count: int, limit: float | None) -> Row:
    theirs, ours = (of[count, "unknown username", side] for side in (THEIRS, OURS))
    what = f"by an unknown username, among {number(count)}"
    return speedup(what, theirs, ours, seconds) if limit is None else at_most(what, ours, limit, seconds, theirs)


def against_few(of: Medians, few: int, many: int, kind: str) -> Row:
    what = f"by {kind}, among {number(many)}, against ours among {number(few)}"
    return over_floor(what, of[many, kind, OURS], of[few, kind, OURS], seconds, 3)


def against_kurigram(of: Medians, count: int) -> Row:
    theirs = of[count, "username", KurigramStorage.name]
    what = f"by username, among {number(count)}, against Kurigram's storage instead of Telethon's"
    return speedup(what, theirs, of[count, "username", OURS], seconds, 10)


def against_dict(of: Medians, count: int) -> Row:
    what = f"by username, among {number(count)}, against a dict"
    return over_floor(what, of[count, "username", OURS], of[count, "username", DictSide.name], seconds, 3)

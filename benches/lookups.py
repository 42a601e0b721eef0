"""Finding somebody by id, username, phone and name, among few and among many."""

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

from kurigram import KurigramStorage
from people import Key, Keys, fresh
from report import Row, Theme, beside, faster, medians, number, seconds
from sides import make, quiet, turns
from stage import Stage
from telethon_session_rust import RustSQLiteSession

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LOOKUPS = 20_000
# Of those who read all rows for a lookup: so many lookups as read a million rows, but not fewer than these.
SCANS = 6

Times = dict[tuple[int, str, str], list[float]]


class Side(Protocol):
    name: str
    scans: bool

    def put(self, page: types.contacts.ResolvedPeer) -> None: ...

    def settle(self) -> None:
        """Puts what was taken to where it is when a program begins."""

    def clocked(self, keys: list[Key]) -> float:
        """Seconds for each lookup."""

    def find(self, key: Key) -> int:
        """The marked id."""

    def close(self) -> None: ...


class SessionSide:
    def __init__(self, cls: type, path: Path) -> None:
        self.name = cls.__name__
        self.scans = cls is not RustSQLiteSession
        self._session = make(cls, path)

    def put(self, page: types.contacts.ResolvedPeer) -> None:
        self._session.process_entities(page)

    def settle(self) -> None:
        self._session.save()

    def clocked(self, keys: list[Key]) -> float:
        find = self._session.get_input_entity
        begun = time.perf_counter()
        for key in keys:
            try:  # noqa: SIM105 (suppress() takes longer than some lookups)
                find(key)
            except ValueError:  # a username that nobody has
                pass
        return (time.perf_counter() - begun) / len(keys)

    def find(self, key: Key) -> int:
        return utils.get_peer_id(self._session.get_input_entity(key))

    def close(self) -> None:
        self._session.close()


class DictSide:
    """The floor: the least that Python can do to make an input peer of a username."""

    name = "dict"
    scans = False

    def __init__(self) -> None:
        self._peers: dict[str, tuple[int, int]] = {}

    def put(self, page: types.contacts.ResolvedPeer) -> None:
        for entity in (*page.users, *page.chats):
            if getattr(entity, "username", None):
                self._peers[entity.username.lower()] = (entity.id, entity.access_hash)

    def settle(self) -> None:
        pass

    def clocked(self, keys: list[Key]) -> float:
        peers, make_peer = self._peers, types.InputPeerUser
        begun = time.perf_counter()
        for name in keys:
            make_peer(*peers[name.lower()])
        return (time.perf_counter() - begun) / len(keys)

    def find(self, key: Key) -> int:
        return self._peers[str(key).lower()][0]

    def close(self) -> None:
        pass


class Population:
    """So many people, known to every side."""

    def __init__(self, stage: Stage, room: Path, count: int, largest: int) -> None:
        stage.say(f"lookups: {count:,} people move in")
        self.count = count
        self.keys = Keys()
        sessions: list[Side] = [
            SessionSide(cls, room / f"{count}-{cls.__name__}") for cls in (SQLiteSession, RustSQLiteSession)
        ]
        kurigram = KurigramStorage(room, f"{count}-kurigram")
        self.sides: list[Side] = [*sessions, SessionSide(MemorySession, room), kurigram, DictSide()]
        self.asked: dict[str, list[Side]] = {"username": self.sides}
        if count in (SIZES[0], largest):
            self.asked |= dict.fromkeys(("phone", "name"), sessions)
        if count == SIZES[0]:
            self.asked["id"] = sessions
        if count == largest:
            self.asked |= dict.fromkeys(("name of many", "nobody"), sessions)
        for number_of_page in stage.people.pages_of(count):
            page = stage.people.page(number_of_page)
            self.keys.note(page)
            for side in self.sides:
                side.put(page)
        for side in self.sides:
            side.settle()
        self._check()

    def _check(self) -> None:
        """All sides find the same people."""
        for kind, sides in self.asked.items():
            for key in self.keys.draw(kind, SCANS, SCANS, random.Random(0))[0]:
                if kind != "nobody":
                    assert len({side.find(key) for side in sides}) == 1, f"the sides do not agree about {key}"

    def measure(self, round_number: int, times: Times) -> None:
        chance = random.Random(round_number)
        for kind, sides in self.asked.items():
            few, many = self.keys.draw(kind, max(SCANS, SIZES[-1] // self.count), LOOKUPS, chance)
            for side in turns(sides, round_number):
                times[self.count, kind, side.name].append(side.clocked(fresh(few if side.scans else many)))

    def close(self) -> None:
        for side in self.sides:
            side.close()


def measure(stage: Stage) -> Theme:
    sizes = [size for size in SIZES if size <= stage.scale.most]
    times: Times = defaultdict(list)
    with stage.room() as room:
        populations = [Population(stage, room, size, sizes[-1]) for size in sizes]
        with quiet():
            for round_number in range(stage.scale.rounds):
                stage.say(f"lookups: round {round_number + 1} of {stage.scale.rounds}")
                for population in turns(populations, round_number):
                    population.measure(round_number, times)
        for population in populations:
            population.close()
    of = {key: median(found) for key, found in times.items()}
    few, most = sizes[0], sizes[-1]
    # How long a scan takes, and so this figure, goes with the number of entities.
    reach = 20_000 if most == SIZES[-1] else None
    names = [side.name for side in populations[0].sides]
    return Theme(
        "Looking somebody up",
        f"Time per lookup with `get_input_entity`, ours {LOOKUPS:,} a round, each by another key, Telethon's fewer"
        f" where it reads all rows. {medians(stage.scale.rounds)}",
        [
            *(against_telethon(of, few, kind, 15) for kind in ("id", "username", "phone", "name")),
            *(against_telethon(of, most, kind, reach) for kind in ("username", "phone", "name")),
            *(against_few(of, few, most, kind) for kind in ("username", "phone", "name")),
            against_kurigram(of, most),
            *(against_dict(of, count) for count in (few, most)),
            against_telethon(of, most, "name of many"),
            against_telethon(of, most, "nobody"),
        ],
        curves={name: {size: of[size, "username", name] for size in sizes} for name in names},
    )


Medians = dict[tuple[int, str, str], float]
OURS, THEIRS = RustSQLiteSession.__name__, SQLiteSession.__name__


def against_telethon(of: Medians, count: int, kind: str, reach: float | None = None) -> Row:
    what = {
        "name of many": "by a name that others have too",
        "nobody": "by a username that nobody has",
    }.get(kind, f"by {kind}")
    return faster(f"{what}, among {number(count)}", of[count, kind, THEIRS], of[count, kind, OURS], seconds, reach)


def against_few(of: Medians, few: int, most: int, kind: str) -> Row:
    what = f"by {kind}, among {number(most)}, beside ours among {number(few)}"
    return beside(what, of[most, kind, OURS], of[few, kind, OURS], seconds, 3)


def against_kurigram(of: Medians, count: int) -> Row:
    theirs = of[count, "username", KurigramStorage.name]
    what = f"by username, among {number(count)}, beside Kurigram's storage instead of Telethon's"
    return faster(what, theirs, of[count, "username", OURS], seconds, 10)


def against_dict(of: Medians, count: int) -> Row:
    what = f"by username, among {number(count)}, beside a dict"
    return beside(what, of[count, "username", OURS], of[count, "username", DictSide.name], seconds, 3)

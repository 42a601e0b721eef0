"""The entities that every benchmark uses, page by page, parsed by Telethon as a client receives
them.

They are those of the loopback data centre (`World`): 80 % users, 15 % channels, 5 % groups; 60 % of
users and channels with a username, 20 % of users with a phone, a third of the names Cyrillic.
`World` has a few thousand names. Here every other entity has a unique name, and the rest share
those of `World`.
"""

from __future__ import annotations

import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from telethon import utils
from telethon.extensions import BinaryReader
from telethon.tl import types

from support.loopback import World

PAGE = 200
# Marks a unique name.
_MARK = "#"

Key: TypeAlias = "int | str"


class _UniquelyNamed(World):
    def user(self, number: int) -> types.User:
        user = super().user(number)
        if number % 2:
            user.last_name = f"{user.last_name or ''} {_MARK}{number:x}".lstrip()
        return user

    def channel(self, number: int) -> types.Channel:
        return _with_unique_title(super().channel(number), number)

    def chat(self, number: int) -> types.Chat:
        return _with_unique_title(super().chat(number), number)


def _with_unique_title(chat: types.Channel | types.Chat, number: int) -> types.Channel | types.Chat:
    if number % 2:
        chat.title = f"{chat.title} {_MARK}{number:x}"
    return chat


@dataclass
class Dataset:
    """Pages of serialized entities in a file.

    Each read of a page creates new objects with new strings, as each update does. This isolates the
    sides from each other, because a string caches its UTF-8 on first use.
    """

    path: Path
    ends: list[int] = field(default_factory=lambda: [0])

    def write(self, count: int) -> None:
        world = _UniquelyNamed()
        with self.path.open("wb") as file:
            for first in range(0, count, PAGE):
                crowd = world.crowd(PAGE, first)
                page = types.contacts.ResolvedPeer(types.PeerUser(1), chats=crowd.chats, users=crowd.users)
                self.ends.append(self.ends[-1] + file.write(page._bytes()))

    def page(self, number: int) -> types.contacts.ResolvedPeer:
        """Returns what Telethon's client passes to its session: an object with `users` and `chats`."""
        begin, end = self.ends[number : number + 2]
        with self.path.open("rb") as file:
            file.seek(begin)
            with BinaryReader(file.read(end - begin)) as reader:
                return reader.tgread_object()

    @staticmethod
    def page_numbers(count: int) -> range:
        """Returns the numbers of the pages that contain the first `count` entities."""
        return range(count // PAGE)

    def pages(self, numbers: range) -> list[types.contacts.ResolvedPeer]:
        return [self.page(number) for number in numbers]


class LookupKeys:
    """The keys by which the entities of some pages can be looked up."""

    def __init__(self) -> None:
        self._keys: defaultdict[str, list[tuple[int, Key]]] = defaultdict(list)

    def add(self, page: types.contacts.ResolvedPeer) -> None:
        """Adds the keys of a page. Usernames are those of users only, because the floor returns an
        `InputPeerUser`.
        """
        for user in page.users:
            if user.username:
                self._keys["username"].append((user.id, user.username))
            if user.phone:
                self._keys["phone"].append((user.id, f"+{user.phone}"))
        for entity in (*page.users, *page.chats):
            marked_id, name = utils.get_peer_id(entity), utils.get_display_name(entity)
            self._keys["id"].append((marked_id, marked_id))
            if _MARK in name:
                self._keys["name"].append((marked_id, name))
            elif " " in name:
                # Telethon looks up a single word as a username first.
                self._keys["shared name"].append((marked_id, name))

    def draw(self, kind: str, few: int, many: int, rng: random.Random) -> tuple[list[Key], list[Key]]:
        """Returns a short list of keys for slow sides, and a long one for fast sides that contains
        the first.

        The position of an entity in the table decides how long a scan for it takes. To make a few
        scans representative, the short list has one key from each of `few` equal parts of the
        table, which is ordered by marked ID.
        """
        if kind == "unknown username":
            drawn: list[Key] = [f"unknown_{number:x}" for number in rng.sample(range(2**32), many)]
            return drawn[:few], drawn
        known = self._keys[kind]
        candidates = sorted(rng.sample(known, min(len(known), 64 * few)))
        spread = [candidates[(2 * part + 1) * len(candidates) // (2 * few)][1] for part in range(few)]
        others = rng.sample(known, many - few) if many <= len(known) else rng.choices(known, k=many - few)
        drawn = [*spread, *(key for _, key in others)]
        rng.shuffle(drawn)
        return spread, drawn


def fresh(keys: list[Key]) -> list[Key]:
    """Returns copies of the keys, with strings that have no cached UTF-8 or hash."""
    return [key.encode().decode() if isinstance(key, str) else key for key in keys]

"""The people whom every measurement meets, page by page, as a client gets them: read off the wire.

They are those of the loopback data centre (`World`): 80 % users, 15 % channels, 5 % groups; 60 % of users and channels
with a username, 20 % of users with a phone, a third of the names Cyrillic. `World` has some thousand names for all of
them; here every other person has a name of their own, as far as a million people have.
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
# In a name of one's own, and in no other.
_MARK = "#"

Key: TypeAlias = "int | str"


class _People(World):
    def user(self, number: int) -> types.User:
        user = super().user(number)
        if number % 2:
            user.last_name = f"{user.last_name or ''} {_MARK}{number:x}".lstrip()
        return user

    def channel(self, number: int) -> types.Channel:
        return _with_a_title_of_its_own(super().channel(number), number)

    def chat(self, number: int) -> types.Chat:
        return _with_a_title_of_its_own(super().chat(number), number)


def _with_a_title_of_its_own(chat: types.Channel | types.Chat, number: int) -> types.Channel | types.Chat:
    if number % 2:
        chat.title = f"{chat.title} {_MARK}{number:x}"
    return chat


@dataclass
class People:
    """Pages of people in a file, as bytes.

    Each reading of a page makes new objects with new strings, as each update does. That keeps the sides apart: a string
    remembers its UTF-8 once somebody has asked for it.
    """

    path: Path
    ends: list[int] = field(default_factory=lambda: [0])

    def write(self, count: int) -> None:
        world = _People()
        with self.path.open("wb") as file:
            for first in range(0, count, PAGE):
                crowd = world.crowd(PAGE, first)
                page = types.contacts.ResolvedPeer(types.PeerUser(1), chats=crowd.chats, users=crowd.users)
                self.ends.append(self.ends[-1] + file.write(page._bytes()))

    def page(self, number: int) -> types.contacts.ResolvedPeer:
        """What Telethon's client hands to its session: an object with `users` and `chats`."""
        begin, end = self.ends[number : number + 2]
        with self.path.open("rb") as file:
            file.seek(begin)
            with BinaryReader(file.read(end - begin)) as reader:
                return reader.tgread_object()

    @staticmethod
    def pages_of(count: int) -> range:
        """The numbers of the pages that so many people fill."""
        return range(count // PAGE)

    def read(self, numbers: range) -> list[types.contacts.ResolvedPeer]:
        return [self.page(number) for number in numbers]


class Keys:
    """By what people can be looked up."""

    def __init__(self) -> None:
        self._keys: defaultdict[str, list[tuple[int, Key]]] = defaultdict(list)

    def note(self, page: types.contacts.ResolvedPeer) -> None:
        """Usernames are users' only: the floor makes an `InputPeerUser` of whatever it finds."""
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
                # A single word would be taken for a username first.
                self._keys["name of many"].append((marked_id, name))

    def draw(self, kind: str, few: int, many: int, chance: random.Random) -> tuple[list[Key], list[Key]]:
        """Two lists of keys, for who is slow and who is fast; the first is part of the second.

        Where somebody stands in the table decides how long a scan for them takes. So that a few scans tell what a scan
        takes, the few come one from each of as many equal parts of the table, as it is ordered: by marked id.
        """
        if kind == "nobody":
            drawn: list[Key] = [f"nobody_{number:x}" for number in chance.sample(range(2**32), many)]
            return drawn[:few], drawn
        known = self._keys[kind]
        candidates = sorted(chance.sample(known, min(len(known), 64 * few)))
        spread = [candidates[(2 * part + 1) * len(candidates) // (2 * few)][1] for part in range(few)]
        others = chance.sample(known, many - few) if many <= len(known) else chance.choices(known, k=many - few)
        drawn = [*spread, *(key for _, key in others)]
        chance.shuffle(drawn)
        return spread, drawn


def fresh(keys: list[Key]) -> list[Key]:
    """The same keys, with strings that nobody has looked at."""
    return [key.encode().decode() if isinstance(key, str) else key for key in keys]

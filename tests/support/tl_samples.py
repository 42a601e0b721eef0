"""A few hundred inputs that have everything: pages, updates, every type of value, and defects."""

from __future__ import annotations

import random

from telethon.tl import TLObject, types

from support.entities import DATE
from support.loopback import World, text_message
from support.loopback.directory import Directory
from support.tl_inputs import CLASSES, Inputs
from support.tl_mutations import mutated

_WORLD = World()
_DIRECTORY = Directory()


def page(count: int = 20, first: int = 0) -> bytes:
    """Returns users and chats as a client receives them."""
    users, chats = _WORLD.crowd(count, first)
    return types.contacts.ResolvedPeer(types.PeerUser(1), chats=chats, users=users)._bytes()


def update(count: int = 4, first: int = 14) -> bytes:
    """Returns an update with these users and chats, and a message from each user."""
    users, chats = _WORLD.crowd(count, first)
    messages = [_message(user, number) for number, user in enumerate(users, 1)]
    updates = [types.UpdateNewMessage(message, 1, 1) for message in messages]
    return types.Updates(updates, users, chats, DATE, 0)._bytes()


def message(number: int = 1) -> bytes:
    return _message(_WORLD.user(number), number)._bytes()


def _message(user: types.User, number: int) -> TLObject:
    made = text_message(_DIRECTORY.add(user), f"hello {number}")
    made.id, made.date = number, DATE
    return made


def random_inputs(count: int, with_defects: bool = False, first: int = 0) -> list[bytes]:
    inputs = []
    for seed in range(first, first + count):
        rng = random.Random(seed)
        data = Inputs(rng, rng.choice(["all", "mixed", "none"])).of(rng.choice(CLASSES))
        inputs.append(mutated(data, rng) if with_defects else data)
    return inputs


SAMPLE = [page(), update(), message(), *random_inputs(150), *random_inputs(50, with_defects=True)]

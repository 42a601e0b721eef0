"""A world of made-up users, channels and basic groups, as a busy bot sees them.

Each entity depends only on a seed and a number: user 7 of seed 1 is equal in every process. 80% are
users, 15% channels and 5% groups. 60% of users and channels have a username, 20% of users have a
phone number, and a third of all names is Cyrillic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, TypeVar

from telethon.tl import types

from .names import CYRILLIC, LATIN, Name, Script

T = TypeVar("T")

_64_BITS = 2**64 - 1
_EPOCH = datetime(2021, 1, 1, tzinfo=timezone.utc)
_PHONE_COUNTRIES = ("1", "44", "49", "55", "7", "90", "91", "998")

# Of twenty entities in a row, the first 16 are users, then come 3 channels and a group.
_BLOCK, _BLOCK_USERS, _BLOCK_CHANNELS = 20, 16, 3


class _Kind(NamedTuple):
    """The distribution of a kind's IDs. `number` is their remainder when divided by four."""

    number: int
    lowest: int
    bits: int


# As large as Telegram's, and below 10^10, so that marked IDs are unambiguous.
_USER = _Kind(0, 400_000_000, 31)
_CHANNEL = _Kind(1, 1_000_000_000, 28)
_CHAT = _Kind(2, 40_000_000, 30)


class Crowd(NamedTuple):
    """Users and chats, as the two lists that Telegram sends."""

    users: list[types.User]
    chats: list[types.Channel | types.Chat]


class World:
    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        # Users share photos and states, which makes a large crowd cheap to build.
        self._user_photos = [types.UserProfilePhoto(photo_id=self._mix(3, n) >> 1, dc_id=2) for n in range(64)]
        self._chat_photos = [types.ChatPhoto(photo_id=self._mix(4, n) >> 1, dc_id=2) for n in range(64)]
        self._states = [types.UserStatusRecently(), types.UserStatusLastWeek(), types.UserStatusLastMonth()]
        self._states += [types.UserStatusOffline(was_online=self._date(n)) for n in range(61)]

    def users(self, count: int, first: int = 0) -> list[types.User]:
        return [self.user(number) for number in range(first, first + count)]

    def channels(self, count: int, first: int = 0) -> list[types.Channel]:
        return [self.channel(number) for number in range(first, first + count)]

    def chats(self, count: int, first: int = 0) -> list[types.Chat]:
        return [self.chat(number) for number in range(first, first + count)]

    def entities(self, count: int, first: int = 0) -> Iterator[types.User | types.Channel | types.Chat]:
        """Yields entities of all kinds, mixed as a bot receives them."""
        for number in range(first, first + count):
            block, place = divmod(number, _BLOCK)
            if place < _BLOCK_USERS:
                yield self.user(block * _BLOCK_USERS + place)
            elif place < _BLOCK_USERS + _BLOCK_CHANNELS:
                yield self.channel(block * _BLOCK_CHANNELS + place - _BLOCK_USERS)
            else:
                yield self.chat(block)

    def crowd(self, count: int, first: int = 0) -> Crowd:
        """Returns `count` entities of all kinds, as the users and chats of an update."""
        crowd = Crowd([], [])
        for entity in self.entities(count, first):
            (crowd.users if isinstance(entity, types.User) else crowd.chats).append(entity)
        return crowd

    def user(self, number: int) -> types.User:
        user_id = self._id(_USER, number)
        script, bits = self._script(_USER, number)
        bits, name = _pick(bits, script.first_names)
        bits, last_name = _pick(bits, script.last_names)
        bits, country = _pick(bits, _PHONE_COUNTRIES)
        bits, state = _pick(bits, self._states)
        bits, photo = _pick(bits, self._user_photos)
        bits, chance = divmod(bits, 100)
        return types.User(
            id=user_id,
            access_hash=self._access_hash(_USER, number),
            first_name=name.written,
            last_name=last_name if bits % 10 < 7 else None,
            username=_username(name, user_id) if chance < 60 else None,
            phone=f"{country}{9_000_000_000 + number}" if bits // 10 % 5 == 0 else None,
            photo=photo if bits // 50 % 3 else None,
            status=state,
        )

    def channel(self, number: int) -> types.Channel:
        channel_id = self._id(_CHANNEL, number)
        script, bits = self._script(_CHANNEL, number)
        bits, topic = _pick(bits, script.topics)
        bits, place = _pick(bits, script.places)
        bits, photo = _pick(bits, self._chat_photos)
        bits, chance = divmod(bits, 100)
        megagroup = bits % 2 == 0
        return types.Channel(
            id=channel_id,
            access_hash=self._access_hash(_CHANNEL, number),
            title=f"{topic.written} {place}",
            username=_username(topic, channel_id) if chance < 60 else None,
            photo=photo if bits // 2 % 3 else types.ChatPhotoEmpty(),
            date=self._date(number),
            megagroup=megagroup,
            broadcast=not megagroup,
        )

    def chat(self, number: int) -> types.Chat:
        script, bits = self._script(_CHAT, number)
        bits, topic = _pick(bits, script.topics)
        bits, owner = _pick(bits, script.first_names)
        return types.Chat(
            id=self._id(_CHAT, number),
            title=f"{owner.written}: {topic.written}",
            photo=types.ChatPhotoEmpty(),
            participants_count=2 + bits % 198,
            date=self._date(number),
            version=1 + bits % 7,
        )

    def _id(self, kind: _Kind, number: int) -> int:
        """Returns a unique ID. Multiplying by an odd number permutes all numbers of the given bits."""
        shuffled = (number * 0x9E3779B1 + self.seed) % (1 << kind.bits)
        return kind.lowest + 4 * shuffled + kind.number

    def _access_hash(self, kind: _Kind, number: int) -> int:
        return self._mix(8 + kind.number, number) - 2**63

    def _script(self, kind: _Kind, number: int) -> tuple[Script, int]:
        bits, chance = divmod(self._mix(kind.number, number), 3)
        return (CYRILLIC if chance == 0 else LATIN), bits

    def _mix(self, stream: int, number: int) -> int:
        """Returns 64 pseudorandom bits of seed, stream and number (the splitmix64 generator)."""
        bits = (number * 0x9E3779B97F4A7C15 + (self.seed * 16 + stream) * 0xD1342543DE82EF95) & _64_BITS
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _64_BITS
        return bits ^ (bits >> 31)

    @staticmethod
    def _date(number: int) -> datetime:
        return _EPOCH + timedelta(minutes=number % 1_000_000)


def _pick(bits: int, choices: Sequence[T]) -> tuple[int, T]:
    """Chooses an item, and returns the unused random bits and the item."""
    bits, index = divmod(bits, len(choices))
    return bits, choices[index]


def _username(name: Name, unique: int) -> str:
    """Returns a unique username that contains the unique ID. One in eight starts with a capital
    letter.
    """
    handle = name.handle if unique // 4 % 8 else name.handle.capitalize()
    return f"{handle}_{unique:x}"

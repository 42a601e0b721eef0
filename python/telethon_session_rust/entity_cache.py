"""The client's own cache of the users and channels it has met."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import telethon
from telethon.tl import types

from . import tl_reader
from ._core import PeerCacheCore

_updates: Any = None
with suppress(ImportError):
    # A private module, which Telethon up to 1.27 does not have and a later release may not have.
    _updates = import_module("telethon._updates")

TELETHONS_CACHE: Any = getattr(_updates, "EntityCache", None)
_Base: Any = TELETHONS_CACHE or object

_LOG = logging.getLogger("telethon_session_rust")
# `None` until it has been checked.
_can_stand_in: bool | None = None


class RustEntityCache(PeerCacheCore, _Base):  # type: ignore[misc]
    """The users and channels that a client has met, a replacement for
    `telethon._updates.EntityCache`.

    Every update goes through it. It is not part of a session: `accelerate` puts it into one client,
    `install` into all.
    """

    def __init__(
        self,
        hash_map: Mapping[int, tuple[int | None, Any]] | None = None,
        self_id: int | None = None,
        self_bot: bool | None = None,
    ) -> None:
        self.hash_map = hash_map or {}
        self.self_id = self_id
        self.self_bot = self_bot

    def set_self_user(self, id: int | None, bot: bool | None, hash: int | None) -> None:
        """Sets the account that is logged in.

        Args:
            id: Its ID.
            bot: Whether it is a bot.
            hash: Its access hash.
        """
        self.self_id = id
        self.self_bot = bot
        if id is not None and hash:
            self._set(id, hash, _updates.EntityType.BOT if bot else _updates.EntityType.USER)

    @property
    def hash_map(self) -> MutableMapping[int, tuple[int | None, Any]]:
        """Access hash and `EntityType` by ID. It is a view: changes to it change the cache."""
        return _HashMap(self)

    @hash_map.setter
    def hash_map(self, entries: Mapping[int, tuple[int | None, Any]]) -> None:
        entries = dict(entries)
        self._clear()
        for id, (hash, ty) in entries.items():
            self._set(id, hash, ty)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"


class _HashMap(MutableMapping[int, "tuple[int | None, Any]"]):
    """The entries of a cache, as Telethon's dictionary."""

    def __init__(self, of: PeerCacheCore) -> None:
        self._cache = of

    def __getitem__(self, id: int) -> tuple[int | None, Any]:
        found = self._cache._find(id)
        if found is None:
            raise KeyError(id)
        return found

    def __setitem__(self, id: int, entry: tuple[int | None, Any]) -> None:
        self._cache._set(id, *entry)

    def __delitem__(self, id: int) -> None:
        if self._cache._remove(id) is None:
            raise KeyError(id)

    def __iter__(self) -> Iterator[int]:
        return iter(self._cache._ids())

    def __len__(self) -> int:
        return len(self._cache)

    def __repr__(self) -> str:
        return repr(dict(self))

    def clear(self) -> None:
        self._cache._clear()

    def popitem(self) -> tuple[int, tuple[int | None, Any]]:
        popped = self._cache._pop()
        if popped is None:
            raise KeyError("popitem(): dictionary is empty")
        return popped

    def copy(self) -> dict[int, tuple[int | None, Any]]:
        return dict(self)

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> _HashMap:  # type: ignore[misc]
        self.update(other)
        return self


def accelerate(client: Any, *, reader: bool = True) -> bool:
    """Replaces a client's entity cache by a `RustEntityCache` with the same contents, and reads
    natively what clients receive.

    The cache is a private part of Telethon. If the installed Telethon has an unsupported one, it
    stays and a warning is logged once.

    Args:
        client: The `TelegramClient`.
        reader: Whether to enable the native reader too, which is one for all clients of the
            process; see `telethon_session_rust.tl_reader`. With `False` it stays as it is.

    Returns:
        `True` if the client uses a `RustEntityCache` now.
    """
    if reader:
        tl_reader.enable()
    theirs = getattr(client, "_mb_entity_cache", None)
    if isinstance(theirs, RustEntityCache):
        return True
    if not can_stand_in() or theirs is None or type(theirs) is not TELETHONS_CACHE:
        return False
    client._mb_entity_cache = RustEntityCache(theirs.hash_map, theirs.self_id, theirs.self_bot)
    return True


def can_stand_in() -> bool:
    """Returns `True` if the installed Telethon's entity cache is supported. Logs a warning, once,
    if it is not.
    """
    global _can_stand_in
    if _can_stand_in is not None:
        return _can_stand_in
    try:
        is_known = TELETHONS_CACHE is not None and _behave_alike(TELETHONS_CACHE, RustEntityCache)
    except Exception:
        _LOG.debug("Telethon's entity cache could not be checked", exc_info=True)
        is_known = False
    if not is_known:
        _LOG.warning(
            "Telethon %s: unsupported `EntityCache`, keeping Telethon's; sessions are not affected",
            telethon.__version__,
        )
    _can_stand_in = is_known
    return is_known


def _behave_alike(theirs: Callable[[], Any], ours: Callable[[], Any]) -> bool:
    """Returns `True` if both have the same methods and give the same answers for a few entities."""
    known = {*vars(PeerCacheCore), *vars(RustEntityCache), "get_all_entities"}
    return set(vars(theirs)) <= known and _exercise(theirs()) == _exercise(ours())


def _exercise(cache: Any) -> list[Any]:
    photo = types.ChatPhotoEmpty()
    users: Iterable[Any] = [
        types.User(1, access_hash=10),
        types.User(2, access_hash=20, bot=True),
        types.User(3, access_hash=30, min=True),
        types.User(4),
        types.UserEmpty(5),
    ]
    chats: Iterable[Any] = [
        types.Channel(6, "", photo, date=None, access_hash=60),
        types.Channel(7, "", photo, date=None, access_hash=70, megagroup=True),
        types.Channel(8, "", photo, date=None, access_hash=80, gigagroup=True),
        types.Channel(9, "", photo, date=None, access_hash=90, min=True),
        types.ChannelForbidden(10, 100, "", megagroup=True),
        types.Chat(11, "", photo, participants_count=1, date=None, version=1),
    ]
    cache.set_self_user(12, True, 120)
    cache.extend(users, chats)
    cache.put(_updates.Entity(_updates.EntityType.GROUP, 13, 0))
    cache.retain(lambda id: id != 1)
    found = [cache.get(id) for id in range(14)]
    peers = [entity and (entity.ty, entity.id, entity.hash) for entity in found]
    return [peers, dict(cache.hash_map), len(cache), cache.self_id, cache.self_bot, set(vars(cache)) - {"hash_map"}]

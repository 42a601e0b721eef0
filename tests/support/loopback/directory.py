"""All users and chats that the data centres know, each serialised once."""

from __future__ import annotations

from collections.abc import Iterable

from telethon import utils
from telethon.tl import types

from . import tl

Entity = types.User | types.Channel | types.Chat


class Known(tl.Serialized):
    """A serialised user or chat, with the few attributes that the server needs.

    The original object is dropped, because its bytes take a tenth of the memory.
    """

    __slots__ = ("access_hash", "is_user", "peer_id", "username")

    def __init__(self, entity: Entity) -> None:
        super().__init__(entity._bytes())
        # The marked ID, which distinguishes users, chats and channels.
        self.peer_id = utils.get_peer_id(entity)
        self.access_hash = getattr(entity, "access_hash", None) or 0
        self.username = getattr(entity, "username", None)
        self.is_user = isinstance(entity, types.User)

    @property
    def id(self) -> int:
        return utils.resolve_id(self.peer_id)[0]

    @property
    def peer(self) -> types.TypePeer:
        bare_id, peer_type = utils.resolve_id(self.peer_id)
        return peer_type(bare_id)

    def entity(self) -> Entity:
        """Deserialises the entity, for the few methods that need its fields."""
        return tl.read(self.data)


class Directory:
    def __init__(self) -> None:
        self._by_peer_id: dict[int, Known] = {}
        self._by_username: dict[str, Known] = {}

    def add(self, entity: Entity | Known) -> Known:
        """Adds or updates an entity. A `Known` entity is not serialised again."""
        known = entity if isinstance(entity, Known) else Known(entity)
        before = self._by_peer_id.get(known.peer_id)
        if before is known:
            return known
        if before is not None and before.username and self.by_username(before.username) is before:
            del self._by_username[before.username.lower()]
        self._by_peer_id[known.peer_id] = known
        if known.username:
            self._by_username[known.username.lower()] = known
        return known

    def add_all(self, entities: Iterable[Entity | Known]) -> list[Known]:
        return [self.add(entity) for entity in entities]

    def get(self, peer_id: int) -> Known | None:
        return self._by_peer_id.get(peer_id)

    def by_username(self, username: str) -> Known | None:
        return self._by_username.get(username.lower())


def split(known: Iterable[Known]) -> dict[str, list[Known]]:
    """Returns the lists `users` and `chats`, which many answers contain."""
    lists: dict[str, list[Known]] = {"users": [], "chats": []}
    for entity in known:
        lists["users" if entity.is_user else "chats"].append(entity)
    return lists

"""Entities as typed rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .errors import SessionLockedError, SessionUnavailableError

if TYPE_CHECKING:
    from ._core import EntityScan

    _Kind = Literal["user", "chat", "channel"]

# Added to a channel's ID before it is negated.
_CHANNEL_MARK = 1_000_000_000_000


class Entity(NamedTuple):
    """What a session knows of a user, chat or channel.

    Attributes:
        id: The plain ID, without the mark that Telethon's rows and `utils.get_peer_id` add.
        kind: `"user"` (a person or a bot), `"chat"` (a basic group) or `"channel"` (a channel,
            supergroup or community).
        access_hash: The access hash, which is valid only for the account that received it; 0 for
            chats.
        username: The username in lower case; the main one if there are several.
        phone: The phone number, digits only.
        name: The display name.
        last_seen: When Telegram last sent the entity, in seconds since 1970; `None` if that is not
            known.
    """

    id: int
    kind: _Kind
    access_hash: int | None = None
    username: str | None = None
    phone: str | None = None
    name: str | None = None
    last_seen: int | None = None

    @property
    def marked_id(self) -> int:
        """The ID as `telethon.utils.get_peer_id` returns it."""
        if self.kind == "user":
            return self.id
        return -self.id if self.kind == "chat" else -_CHANNEL_MARK - self.id

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Entity:
        """Makes an entity of a row as Telethon's sessions have it.

        Args:
            row: Marked ID, access hash, username, phone and name; `last_seen` may follow.
        """
        marked_id, *rest = row
        if marked_id >= 0:
            return cls(marked_id, "user", *rest)
        if marked_id >= -_CHANNEL_MARK:
            return cls(-marked_id, "chat", *rest)
        return cls(-_CHANNEL_MARK - marked_id, "channel", *rest)


async def _iterate(scan: EntityScan) -> AsyncIterator[Entity]:
    """Yields what an iterator yields, and lets the event loop run in between."""
    while True:
        try:
            entities = scan._typed_slice()
        except (SessionLockedError, SessionUnavailableError):
            # In a thread the store is waited for.
            entities = await asyncio.to_thread(scan._typed_slice)
        if not entities:
            return
        for entity in entities:
            yield entity
        await asyncio.sleep(0)

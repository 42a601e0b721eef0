"""The members of channels and groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from telethon import utils

from .directory import Known


class Roster:
    def __init__(self, members: Sequence[Known]) -> None:
        self.members = members
        self.ids = {member.peer_id for member in members}

    def search(self, query: str) -> Sequence[Known]:
        """Returns the members whose name or username contains the query."""
        if not query:
            return self.members
        query = query.casefold()
        return [member for member, text in zip(self.members, self._texts, strict=True) if query in text]

    @cached_property
    def _texts(self) -> list[str]:
        """Returns the searchable texts, built at the first search because each member must be
        deserialised.
        """
        return [
            f"{utils.get_display_name(member.entity())} {member.username or ''}".casefold() for member in self.members
        ]


class Rosters:
    def __init__(self) -> None:
        self._by_peer_id: dict[int, Roster] = {}

    def set(self, peer_id: int, members: Sequence[Known]) -> None:
        self._by_peer_id[peer_id] = Roster(members)

    def get(self, peer_id: int) -> Roster:
        return self._by_peer_id.get(peer_id, EMPTY)


EMPTY = Roster(())

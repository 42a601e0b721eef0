"""The commands of `python -m support.loopback`, one JSON object per line: `{"prepare_crowd":
{"count": 9}}`.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from .accounts import Account
from .data_centres import DataCentres
from .directory import Known, split
from .world import World

log = logging.getLogger(__name__)

Reply = dict[str, Any]


class Commands:
    """Each public method is a command. Its arguments and its result are JSON values."""

    def __init__(self, telegram: DataCentres, world: World) -> None:
        self._telegram = telegram
        self._world = world
        self._crowds: dict[tuple[int, int], dict[str, list[Known]]] = {}

    async def run(self, line: bytes) -> Reply:
        try:
            ((name, arguments),) = json.loads(line).items()
            if name.startswith("_") or name == "run":
                raise ValueError(f"no such command: {name}")
            return await getattr(self, name)(**arguments)
        except Exception as error:
            log.exception("a command failed")
            return {"error": f"{type(error).__name__}: {error}"}

    async def new_user(self, phone: str | None = None, dc_id: int | None = None) -> Reply:
        return _described(self._telegram.new_user(phone, dc_id=dc_id))

    async def new_bot(self, dc_id: int | None = None) -> Reply:
        return _described(self._telegram.new_bot(dc_id=dc_id))

    async def prepare_crowd(self, count: int, first: int = 0) -> Reply:
        """Creates a crowd in advance, so that pushing it later takes only the time to send it."""
        return {name: len(entities) for name, entities in self._crowd(count, first).items()}

    async def push_crowd(self, account: int, count: int, first: int = 0, messages: int = 3) -> Reply:
        receiver = self._telegram.accounts[account]
        packet = await self._telegram.push_crowd(receiver, **self._crowd(count, first), messages=messages)
        listeners = len(self._telegram.listeners(receiver))
        return {"pts": packet.pts, "updates": len(packet.events), "listeners": listeners}

    async def gather(self, channel: int, count: int, first: int = 0) -> Reply:
        """Makes users of the world the members of one of its channels."""
        members = map(self._world.user, range(first, first + count))
        known = self._telegram.gather(self._world.channel(channel), members)
        return {"id": known.id, "access_hash": known.access_hash, "username": known.username}

    async def add_contacts(self, account: int, count: int, first: int = 0) -> Reply:
        self._telegram.add_contacts(self._telegram.accounts[account], self._world.users(count, first))
        return {}

    async def hang_up(self) -> Reply:
        self._telegram.hang_up()
        return {}

    def _crowd(self, count: int, first: int) -> dict[str, list[Known]]:
        if (count, first) not in self._crowds:
            entities = self._world.entities(count, first)
            self._crowds[count, first] = split(self._telegram.directory.add_all(entities))
        return self._crowds[count, first]


def _described(account: Account) -> Reply:
    return {
        "id": account.id,
        "dc_id": account.dc_id,
        "phone": account.phone,
        "code": account.code,
        "token": account.token,
    }

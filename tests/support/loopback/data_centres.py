"""The simulated Telegram as a test uses it: data centres, accounts, and methods that send updates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from telethon.tl import types

from support.ports import HOST

from . import client_side, methods  # noqa: F401  (importing `methods` registers them)
from .accounts import Account, Accounts
from .connection import Connection
from .data_centre import DataCentre
from .directory import Directory, Entity, Known, split
from .mailbox import Packet, text_message
from .rosters import Rosters
from .rsa_key import rsa_key

DC_IDS = (2, 4)


class DataCentres:
    """Use it as `async with DataCentres() as telegram`. The data centres stop at the end of the
    block.
    """

    def __init__(self, dc_ids: Sequence[int] = DC_IDS) -> None:
        self.rsa_key = rsa_key()
        self.dcs = {dc_id: DataCentre(dc_id, self, self.rsa_key) for dc_id in dc_ids}
        self.accounts = Accounts()
        self.directory = Directory()
        self.rosters = Rosters()

    async def __aenter__(self) -> DataCentres:
        for dc in self.dcs.values():
            await dc.start()
        client_side.trust(self.rsa_key.public_pem)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for dc in self.dcs.values():
            await dc.stop()

    @property
    def home(self) -> DataCentre:
        """Returns the data centre to which new clients connect."""
        return next(iter(self.dcs.values()))

    def at_home(self, session: client_side.S) -> client_side.S:
        return client_side.at_home(session, self.home.dc_id, HOST, self.home.port)

    def new_user(self, phone: str | None = None, *, dc_id: int | None = None, **fields: Any) -> Account:
        """Creates a user that can sign in with `account.phone` and `account.code`."""
        return self._introduce(self.accounts.new_user(dc_id or self.home.dc_id, phone, **fields))

    def new_bot(self, *, dc_id: int | None = None, **fields: Any) -> Account:
        """Creates a bot that can sign in with `account.token`."""
        return self._introduce(self.accounts.new_bot(dc_id or self.home.dc_id, **fields))

    def gather(self, channel: Entity | Known, members: Iterable[Entity | Known]) -> Known:
        """Makes these users the members of the channel or group."""
        known = self.directory.add(channel)
        self.rosters.set(known.peer_id, self.directory.add_all(members))
        return known

    def add_contacts(self, account: Account, users: Iterable[Entity | Known]) -> None:
        account.contacts += self.directory.add_all(users)

    def hang_up(self) -> None:
        """Closes all connections, as a failing network would. Clients reconnect by themselves."""
        for dc in self.dcs.values():
            dc.hang_up()

    async def push(
        self,
        account: Account,
        *updates: Any,
        users: Iterable[Entity | Known] = (),
        chats: Iterable[Entity | Known] = (),
    ) -> Packet:
        """Sends updates to all connections of the account, or stores them until it requests the
        difference.

        Fills in missing message IDs and dates, and all `pts`.
        """
        packet = self.deliver(account, updates, [*users, *chats])
        await asyncio.gather(*(connection.drain() for connection in self.listeners(account)))
        return packet

    async def push_crowd(
        self,
        account: Account,
        users: Sequence[Entity | Known],
        chats: Sequence[Entity | Known],
        messages: int = 3,
    ) -> Packet:
        """Sends one `Updates` with all of these users and chats, and messages from a few of them."""
        users, chats = self.directory.add_all(users), self.directory.add_all(chats)
        updates = [types.UpdateNewMessage(text_message(user, "hello"), 0, 1) for user in users[:messages]]
        channels = (chat for chat in chats if isinstance(chat.peer, types.PeerChannel))
        for number, channel in enumerate(islice(channels, messages)):
            # In a broadcast channel, the channel itself is the sender.
            is_discussion = users and channel.entity().megagroup
            sender = users[number % len(users)] if is_discussion else None
            updates.append(types.UpdateNewChannelMessage(text_message(channel, "news", sender), 0, 1))
        return await self.push(account, *updates, users=users, chats=chats)

    def deliver(
        self,
        account: Account,
        updates: Iterable[Any],
        entities: Iterable[Entity | Known],
        skip: Connection | None = None,
    ) -> Packet:
        """Sends updates as `push` does, without waiting. Skips the connection that gets the packet
        as its answer.
        """
        known = [account.sees(entity) for entity in self.directory.add_all(entities)]
        packet = account.mailbox.put(updates, **split(known))
        listeners = [connection for connection in self.listeners(account) if connection is not skip]
        if listeners:
            data = bytes(packet.as_updates())
            for connection in listeners:
                connection.send_updates(data)
        return packet

    def listeners(self, account: Account) -> list[Connection]:
        """Returns the account's connections to its home data centre. At others, clients only fetch
        files.
        """
        connections = self.dcs[account.dc_id].connections
        return [
            connection
            for connection in connections
            if connection.account is account and connection.receives_updates and connection.is_open
        ]

    def _introduce(self, account: Account) -> Account:
        self.directory.add(account.known)
        return account

"""Kurigram's storage, which has an index, for comparison with the sessions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from dataset import Key

# Silences the warning that encryption will be slow; nothing is encrypted here.
logging.getLogger("pyrogram").setLevel(logging.ERROR)

from pyrogram.raw.types import InputPeerUser
from pyrogram.storage.sqlite_storage import SQLiteStorage
from pyrogram.utils import get_channel_id
from telethon.tl import types


class KurigramStorage:
    name = "Kurigram"
    scans = False

    def __init__(self, folder: Path, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._storage = SQLiteStorage(name, folder)
        self._run(self._storage.open())

    def put(self, page: types.contacts.ResolvedPeer) -> None:
        """Stores the users and chats of a page as Kurigram's client does for an update.

        Usernames stay valid for 8 hours, so all of them are found.
        """
        peers = [(user.id, user.access_hash, "user", user.phone) for user in page.users]
        names = [(user.id, [user.username.lower()]) for user in page.users if user.username]
        for chat in page.chats:
            if isinstance(chat, types.Chat):
                peers.append((-chat.id, 0, "group", None))
                continue
            channel_id = get_channel_id(chat.id)
            peers.append((channel_id, chat.access_hash, "channel" if chat.broadcast else "supergroup", None))
            if chat.username:
                names.append((channel_id, [chat.username.lower()]))
        self._run(self._storage.update_peers(peers))
        self._run(self._storage.update_usernames(names))

    def flush(self) -> None:
        """Saves and reopens the file, because Kurigram compacts it when it opens it."""
        self._run(self._storage.save())
        self._run(self._storage.close())
        self._run(self._storage.open())

    def timed(self, keys: list[Key]) -> float:
        return self._run(self._timed(keys))

    async def _timed(self, keys: list[Key]) -> float:
        find = self._storage.get_peer_by_username
        start = time.perf_counter()
        for key in keys:
            await find(key.lower())
        return (time.perf_counter() - start) / len(keys)

    def find(self, key: Key) -> int:
        found = self._run(self._storage.get_peer_by_username(str(key).lower()))
        assert isinstance(found, InputPeerUser)
        return found.user_id

    def close(self) -> None:
        self._run(self._storage.close())
        self._loop.close()

    def _run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(call)

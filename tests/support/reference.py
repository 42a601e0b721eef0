"""Telethon's session classes, changed where `RustMemorySession` and `RustSQLiteSession` differ on
purpose.

Everything that is not overridden here is Telethon's own code, and defines the expected behaviour.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

from telethon import utils
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession, SQLiteSession
from telethon.tl import types

from support.addresses import completed

# From 1.43 on, and with it database version 8.
HAS_TMP_AUTH_KEY = hasattr(MemorySession, "tmp_auth_key")

BARE_PEERS = (types.InputPeerUser, types.InputPeerChannel, types.InputUser, types.InputChannel)


class _Bare(tuple):
    """The row of an input peer, which has no names."""


class _KeepsNames(MemorySession):
    """An input peer updates the access hash and the date, and keeps the names. Telethon overwrites
    them with NULL.
    """

    def _entity_to_row(self, e: Any) -> Any:
        row = super()._entity_to_row(e)
        return _Bare(row) if row and type(e) in BARE_PEERS else row

    def _entities_to_rows(self, tlo: Any) -> list[Any]:
        rows, known = [], {}
        for row in super()._entities_to_rows(tlo):
            if isinstance(row, _Bare):
                names = known[row[0]] if row[0] in known else self._names_of(row[0])
                row = (*row[:2], *names)
            known[row[0]] = row[2:]
            rows.append(row)
        return rows

    @property
    def tmp_auth_key(self) -> Any:
        """From 1.43 to 1.45, Telethon's property returns the permanent key."""
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value


class ReferenceMemorySession(_KeepsNames):
    """Keeps only the newest row of each ID. Telethon keeps old ones too, in a set, and returns any
    of them.
    """

    _entities: Any
    # Telethon has it in the file session only, ours in all classes.
    save_entities = True

    def __init__(self) -> None:
        super().__init__()
        self._dates: dict[int, int] = {}

    def clone(self, to_instance: Any = None) -> Any:
        if to_instance:
            return to_instance
        cloned = super().clone()
        cloned.save_entities = self.save_entities
        return cloned

    def _names_of(self, id: int) -> tuple[Any, ...]:
        return next((row[2:] for row in self._entities if row[0] == id), (None, None, None))

    def process_entities(self, tlo: Any) -> None:
        if not self.save_entities:
            return
        new = {row[0]: row for row in self._entities_to_rows(tlo)}
        self._dates |= dict.fromkeys(new, int(time.time()))
        rows = {row[0]: row for row in self._entities} | new
        # Telethon returns the first match, which is now the one with the lowest marked ID.
        self._entities = sorted(rows.values(), key=lambda row: row[0])

    def get_entity_rows_by_username(self, username: str) -> Any:
        """Returns the newest of several matches, and removes the username from the others, as in
        Telethon's files.
        """
        rows = [row for row in self._entities if row[2] == username]
        if not rows:
            return None
        newest = max(rows, key=lambda row: (self._dates[row[0]], row[0]))
        self._entities = [
            (row[0], row[1], None, *row[3:]) if row in rows and row is not newest else row for row in self._entities
        ]
        return newest[:2]

    def get_entity_rows_by_id(self, id: int, exact: bool = True) -> Any:
        """Returns the marked ID that was found. Telethon 1.24 returns the ID that was passed."""
        found = super().get_entity_rows_by_id(id, exact)
        if found is None:
            return None
        if exact:
            return next((row[:2] for row in self._entities if row[0] == id), found)
        ids = [utils.get_peer_id(peer(id)) for peer in (types.PeerUser, types.PeerChat, types.PeerChannel)]
        return next(row[:2] for row in self._entities if row[0] in ids)


class ReferenceSQLiteSession(_KeepsNames, SQLiteSession):
    """Reads the last two columns of `sessions` correctly, and fills in missing addresses.

    Telethon 1.43 and 1.44 swap the two columns, and fail if there is a takeout ID. All releases use
    a key without an address at data centre 2.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        def key_or_none(data: Any) -> AuthKey:
            return AuthKey(data if isinstance(data, bytes) else None)

        with patch("telethon.sessions.sqlite.AuthKey", key_or_none):
            super().__init__(*args, **kwargs)
        is_new = self._auth_key is None
        if HAS_TMP_AUTH_KEY and not is_new:
            self._takeout_id, tmp_key = self._execute("select takeout_id, tmp_auth_key from sessions")
            self._tmp_auth_key = AuthKey(tmp_key)
        if not is_new and self._auth_key.key:
            credentials = [self._auth_key.key, self._dc_id, self._server_address, self._port]
            *_, self._server_address, self._port = completed(credentials)

    def _names_of(self, id: int) -> tuple[Any, ...]:
        return self._execute("select username, phone, name from entities where id = ?", id) or (None, None, None)

    @property
    def tmp_auth_key(self) -> Any:
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value
        self._update_session_table()

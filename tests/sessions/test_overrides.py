"""Overridden methods and properties are called where Telethon's base class calls them, with equal
arguments.

Telethon documents `MemorySession` as the base class for custom storages.
"""

from __future__ import annotations

import inspect
import sqlite3
from typing import Any

import pytest
from telethon import utils
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession, StringSession
from telethon.tl import types

from support import entities
from support.reference import HAS_TMP_AUTH_KEY
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

KEY = AuthKey(bytes(range(256)))
ANOTHER = MemorySession()
INVITE = "t.me/joinchat/{}AAAAAAAAAA"
METHODS = [
    "_entities_to_rows",
    "_entity_to_row",
    "_entity_values_to_row",
    "cache_file",
    "clone",
    "close",
    "delete",
    "get_entity_rows_by_id",
    "get_entity_rows_by_name",
    "get_entity_rows_by_phone",
    "get_entity_rows_by_username",
    "get_file",
    "get_input_entity",
    "get_update_state",
    "list_sessions",
    "process_entities",
    "save",
    "set_dc",
    "set_update_state",
]
PROPERTIES = ["auth_key", "dc_id", "port", "server_address", "takeout_id"]
if HAS_TMP_AUTH_KEY:
    METHODS.append("get_update_states")
    PROPERTIES.append("tmp_auth_key")


def call_everything(session: Any) -> list[Any]:
    """Makes every call that a client, or another session class, makes to a session, and returns the
    results.
    """
    page = [
        entities.user(1, 2, username="Annika", phone="7", first_name="Anna"),
        entities.chat(3),
        entities.channel(4),
    ]
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    session.takeout_id = 5
    session.process_entities(page)
    session.process_entities(entities.resolved_peer([entities.channel(5, 6, username="fifth")], page[:1]))
    session.process_entities(None)
    found = [
        session.get_input_entity(key)
        for key in ("annika", "@fifth", "t.me/annika", "+7", "Anna", 1, types.PeerChannel(5), INVITE.format("AAAAAQ"))
    ]
    for key in ("unknown", 99, INVITE.format("AAAACQ"), "Not Known"):
        with pytest.raises(ValueError):
            session.get_input_entity(key)
    session.set_update_state(0, types.updates.State(1, 2, entities.DATE, 3, 0))
    session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
    found += [session.get_update_state(0), session.get_file(b"1" * 16, 2, types.InputDocument)]
    found += [session.clone(ANOTHER) is ANOTHER, session.list_sessions(), session.takeout_id]
    if HAS_TMP_AUTH_KEY:
        session.tmp_auth_key = KEY
        found += session.get_update_states()
    found += [StringSession.save(session), RustStringSession.save(session)]
    session.save()
    session.close()
    session.delete()
    return found


def recording(base: type, name: str) -> Any:
    """Returns a subclass that overrides `name` and records its calls."""
    calls: list[Any] = []
    overridden = inspect.getattr_static(base, name)
    if isinstance(overridden, property):

        def get(self: Any) -> Any:
            calls.append("get")
            return overridden.__get__(self)

        def put(self: Any, value: Any) -> None:
            calls.append(("set", value))
            overridden.__set__(self, value)

        override: Any = property(get, put if overridden.fset else None)
    elif isinstance(overridden, classmethod):

        def call_class(cls: type, *args: Any, **kwargs: Any) -> Any:
            calls.append((*args, *kwargs.values()))
            return getattr(super(subclass, cls), name)(*args, **kwargs)

        override = classmethod(call_class)
    elif name == "_entity_values_to_row":

        def call_static(*args: Any, **kwargs: Any) -> Any:
            calls.append((*args, *kwargs.values()))
            return getattr(base, name)(*args, **kwargs)

        override = staticmethod(call_static)
    else:

        def override(self: Any, *args: Any, **kwargs: Any) -> Any:
            # Telethon passes `exact` by keyword; a positional argument is allowed too.
            calls.append((*args, *kwargs.values()))
            return getattr(super(subclass, self), name)(*args, **kwargs)

    subclass = type(f"Own{base.__name__}", (base,), {name: override, "calls": calls})
    return subclass


@pytest.mark.parametrize("name", [*METHODS, *PROPERTIES])
def test_it_is_called_as_telethon_calls_it(pair: tuple[type, type], name: str) -> None:
    calls, results = [], []
    for base in pair:
        session = recording(base, name)()
        # How a class creates the tables is an implementation detail.
        session.calls.clear()
        results.append(call_everything(session))
        calls.append(session.calls[:])
    assert len(calls[0]) > 0
    assert calls[1] == calls[0]
    assert results[1] == results[0]


def test_overridden_rows() -> None:
    class UpperCase(RustMemorySession):
        def _entity_to_row(self, e: Any) -> Any:
            row = super()._entity_to_row(e)
            return row and (*row[:4], row[4].upper())

    session = UpperCase()
    session.process_entities([entities.user(1, 2, first_name="Anna"), None, entities.user(3, 4, first_name="Bob")])
    assert session.get_input_entity("ANNA") == types.InputPeerUser(1, 2)
    assert session._entities == {(1, 2, None, None, "ANNA"), (3, 4, None, None, "BOB")}


@pytest.mark.parametrize("base", [RustMemorySession, RustSQLiteSession])
def test_no_rows_store_no_entities(base: Any) -> None:
    session = type("NoRows", (base,), {"_entities_to_rows": lambda self, tlo: []})()
    session.process_entities([entities.user(1, 2)])
    assert session.get_entity_rows_by_id(1) is None


def test_a_property_is_overridden_by_its_setter() -> None:
    class Counts(RustMemorySession):
        count = 0

        @RustMemorySession.auth_key.setter
        def auth_key(self, value: Any) -> None:
            self._auth_key = value
            self.count += 1

    session = Counts()
    session.auth_key = KEY
    assert (session.auth_key, session.count) == (KEY, 1)


def storage(base: Any) -> Any:
    """Returns a custom storage like those of telethon-session-sqlalchemy, teleredis and telemongo."""

    class Storage(base):
        def __init__(self, name: str, *, rows: dict[str, Any] | None = None) -> None:
            super().__init__()
            self.name = name
            self.rows = {} if rows is None else rows
            self.sent_files: dict[Any, Any] = {}
            if "session" in self.rows:
                self._dc_id, self._server_address, self._port, key, self._takeout_id = self.rows["session"]
                self._auth_key = AuthKey(data=key)

        def clone(self, to_instance: Any = None) -> Any:
            return MemorySession()

        def _update_session_table(self) -> None:
            key = self._auth_key.key if self._auth_key else b""
            self.rows["session"] = (self._dc_id, self._server_address, self._port, key, self._takeout_id)

        def set_dc(self, dc_id: int, server_address: str, port: int) -> None:
            super().set_dc(dc_id, server_address, port)
            self._update_session_table()

        @base.auth_key.setter
        def auth_key(self, value: Any) -> None:
            self._auth_key = value
            self._update_session_table()

        @base.takeout_id.setter
        def takeout_id(self, value: Any) -> None:
            self._takeout_id = value
            self._update_session_table()

        def _entity_values_to_row(self, id: int, hash: int, username: str, phone: str, name: str) -> Any:
            return {"id": id, "hash": hash, "username": username, "phone": phone, "name": name}

        def process_entities(self, tlo: Any) -> None:
            for row in self._entities_to_rows(tlo):
                self.rows[row["id"]] = row

        def _find(self, **wanted: Any) -> Any:
            rows = (row for row in self.rows.values() if isinstance(row, dict))
            return next(((row["id"], row["hash"]) for row in rows if row.items() >= wanted.items()), None)

        def get_entity_rows_by_phone(self, phone: str) -> Any:
            return self._find(phone=phone)

        def get_entity_rows_by_username(self, username: str) -> Any:
            return self._find(username=username)

        def get_entity_rows_by_name(self, name: str) -> Any:
            return self._find(name=name)

        def get_entity_rows_by_id(self, id: int, exact: bool = True) -> Any:
            if exact:
                return self._find(id=id)
            peers = types.PeerUser(id), types.PeerChat(id), types.PeerChannel(id)
            return next(filter(None, (self._find(id=utils.get_peer_id(peer)) for peer in peers)), None)

        def cache_file(self, md5_digest: bytes, file_size: int, instance: Any) -> None:
            self.sent_files[md5_digest, file_size, type(instance)] = instance

        def get_file(self, md5_digest: bytes, file_size: int, cls: Any) -> Any:
            return self.sent_files.get((md5_digest, file_size, cls))

        def save(self) -> None:
            self.rows["saved"] = True

    return Storage


def test_a_custom_storage_works_unchanged() -> None:
    theirs, ours = (storage(base)("anna") for base in (MemorySession, RustMemorySession))
    assert call_everything(ours)[:-1] == call_everything(theirs)[:-1]
    assert ours.rows == theirs.rows
    assert len(ours.rows) == 6
    reopened = storage(RustMemorySession)("anna", rows=ours.rows)
    assert reopened.get_input_entity("annika") == types.InputPeerUser(1, 2)
    assert (reopened.dc_id, reopened.auth_key) == (2, KEY)


@pytest.mark.parametrize("error", [RuntimeError("mine"), sqlite3.OperationalError("mine"), KeyboardInterrupt("mine")])
@pytest.mark.parametrize("name", ["_entity_to_row", "_entities_to_rows", "_entity_values_to_row"])
def test_an_error_in_an_override_is_raised_to_the_caller(name: str, error: BaseException) -> None:
    def fail(*_args: Any) -> Any:
        raise error

    session = type("Fails", (RustMemorySession,), {name: fail})()
    with pytest.raises(type(error), match="mine"):
        session.process_entities([entities.user(1, 2)])
    assert session._entities == set()

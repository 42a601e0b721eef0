"""State machines that make random calls to Telethon's class and to ours and compare the results.

Telethon's class is adapted to the intended differences: see `reference.py`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities
from support import lookup_keys as keys
from support.bounds import until_settled
from support.clock import second_of
from support.files import dump
from support.reference import HAS_TMP_AUTH_KEY, ReferenceMemorySession, ReferenceSQLiteSession
from support.strategies import auth_keys, channel_ids, comparable, file_classes, md5_digests, states
from telethon_session_rust import RustMemorySession, RustSQLiteSession

MAX_ENTITIES = 2
KEYS = ["auth_key", "tmp_auth_key"] if HAS_TMP_AUTH_KEY else ["auth_key"]
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dict": lambda found: dict.fromkeys(found),
    "generator": lambda found: (entity for entity in found),
    "set": lambda found: {*found[:1]},
    "frozenset, which Telethon does not iterate": frozenset,
    "chats": lambda found: entities.resolved_peer(chats=found, users=[]),
    "users": lambda found: entities.resolved_peer(chats=[], users=found),
    "both": lambda found: entities.resolved_peer(chats=tuple(found[::2]), users=tuple(found[1::2])),
    "user and chat": lambda found: SimpleNamespace(user=found[0], chat=found[-1], chats=None, users=5) if found else {},
    "the entity itself": lambda found: found[0] if found else None,
}


class SessionMachine(RuleBasedStateMachine):
    theirs: Any
    ours: Any

    def agree(self, call: Callable[[Any], Any]) -> Any:
        """Calls both. They must return equal results, or ours raises the class of Telethon's error."""
        try:
            expected = call(self.theirs)
        except Exception as error:
            try:
                result = call(self.ours)
            except type(error):
                return None
            raise AssertionError(f"Telethon raises {error!r}, ours returns {result!r}") from error
        result = call(self.ours)
        assert comparable(result) == comparable(expected)
        return expected

    @initialize(found=st.lists(entities.entities, min_size=5, max_size=20), stores_tmp_auth_key=st.booleans())
    def begin(self, found: list[Any], stores_tmp_auth_key: bool) -> None:
        self.open(stores_tmp_auth_key)
        self.process_entities(found, "list")

    def open(self, stores_tmp_auth_key: bool) -> None:
        raise NotImplementedError

    @rule(found=st.lists(entities.entities, max_size=6), container=st.sampled_from(sorted(CONTAINERS)))
    def process_entities(self, found: list[Any], container: str) -> None:
        def receive(session: Any) -> Exception | None:
            try:
                return session.process_entities(CONTAINERS[container](deepcopy(found)))
            except Exception as error:
                return error

        results = []
        second = second_of(lambda: results.append(receive(self.ours)))
        with patch("time.time", lambda: float(second)):
            expected = receive(self.theirs)
        assert isinstance(results[-1], type(expected)), (results, expected)

    @rule(several=st.lists(keys.keys, max_size=8))
    def get_input_entity(self, several: list[Any]) -> None:
        for key in several:
            self.look_up(lambda session, key=key: session.get_input_entity(deepcopy(key)))

    def look_up(self, call: Callable[[Any], Any]) -> None:
        """Calls both with a key that may be unknown."""
        self.agree(call)

    @rule(id=keys.ids, exact=st.booleans())
    def get_entity_rows_by_id(self, id: int, exact: bool) -> None:
        self.agree(lambda session: session.get_entity_rows_by_id(id, exact))

    @rule(key=keys.texts, method=st.sampled_from(["username", "phone", "name"]))
    def get_entity_rows_by_text(self, key: str, method: str) -> None:
        self.look_up(lambda session: getattr(session, f"get_entity_rows_by_{method}")(key))

    @rule(column=st.sampled_from(["id", "username", "phone", "name"]))
    def find_all(self, column: str) -> None:
        for row in self.known():
            key = row[("id", "hash", "username", "phone", "name").index(column)]
            if key is not None:
                self.agree(lambda session, key=key: session.get_input_entity(key))
                self.agree(lambda session, key=key: getattr(session, f"get_entity_rows_by_{column}")(key))

    def known(self) -> list[tuple[Any, ...]]:
        """Returns Telethon's rows of all entities."""
        raise NotImplementedError

    @rule(
        dc_id=st.none() | st.integers(0, 5), address=st.none() | st.just("149.154.167.51"), port=st.integers(0, 65535)
    )
    def set_dc(self, dc_id: int | None, address: str | None, port: int) -> None:
        self.agree(lambda session: session.set_dc(dc_id, address, port))

    @rule(name=st.sampled_from(KEYS), key=auth_keys)
    def set_key(self, name: str, key: AuthKey | None) -> None:
        self.agree(lambda session: setattr(session, name, key))

    @rule(takeout_id=st.none() | st.integers(-(2**63), 2**63 - 1))
    def set_takeout_id(self, takeout_id: int | None) -> None:
        self.agree(lambda session: setattr(session, "takeout_id", takeout_id))

    @rule()
    def read_back(self) -> None:
        for name in ("dc_id", "server_address", "port", *KEYS, "takeout_id"):
            self.agree(lambda session, name=name: getattr(session, name))

    @rule(id=channel_ids, state=states)
    def set_update_state(self, id: int, state: types.updates.State) -> None:
        self.agree(lambda session: session.set_update_state(id, state))

    @rule(id=channel_ids)
    def get_update_states(self, id: int) -> None:
        self.agree(lambda session: session.get_update_state(id))
        # Not in 1.24.
        if hasattr(self.theirs, "get_update_states"):
            self.agree(lambda session: list(session.get_update_states()))

    @rule(digest=md5_digests, size=st.integers(0, 2), file=file_classes, id=entities.hashes, hash=entities.hashes)
    def cache_file(self, digest: bytes, size: int, file: Any, id: int, hash: int) -> None:
        self.agree(lambda session: session.cache_file(digest, size, file(id, hash, b"")))

    @rule(digest=md5_digests, size=st.integers(0, 2), file=file_classes)
    def get_file(self, digest: bytes, size: int, file: Any) -> None:
        # A hit is a TypeError, because the class also needs a file reference. Other classes are
        # refused.
        self.agree(lambda session: session.get_file(digest, size, file))
        self.agree(lambda session: session.get_file(digest, size, SimpleNamespace))
        self.agree(lambda session: session.cache_file(digest, size, SimpleNamespace()))

    @rule(save_entities=st.booleans())
    def set_save_entities(self, save_entities: bool) -> None:
        self.agree(lambda session: setattr(session, "save_entities", save_entities))

    @rule()
    def save(self) -> None:
        self.agree(lambda session: session.save())

    @rule()
    def clone(self) -> None:
        self.agree(lambda session: session.clone(self))
        theirs, ours = self.theirs.clone(), self.ours.clone()
        assert (type(theirs), type(ours)) == (type(self.theirs), type(self.ours))
        for name in ("auth_key", "dc_id", "filename", "save_entities"):
            assert getattr(ours, name, None) == getattr(theirs, name, None)

    @rule()
    def list_sessions(self) -> None:
        self.agree(lambda session: session.list_sessions())


class MemoryMachine(SessionMachine):
    def open(self, stores_tmp_auth_key: bool) -> None:
        self.theirs, self.ours = ReferenceMemorySession(), RustMemorySession()

    def known(self) -> list[tuple[Any, ...]]:
        return self.theirs._entities

    @rule()
    def close(self) -> None:
        self.agree(lambda session: session.close())

    @rule()
    def delete(self) -> None:
        self.agree(lambda session: session.delete())

    def teardown(self) -> None:
        assert set(self.ours._entities) == set(self.theirs._entities)


class SQLiteMachine(SessionMachine):
    def open(self, stores_tmp_auth_key: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        os.chdir(self.folder.name)
        self.options = [stores_tmp_auth_key] if HAS_TMP_AUTH_KEY else []
        self.open_files()

    def open_files(self) -> None:
        self.theirs = ReferenceSQLiteSession("theirs", *self.options)
        self.ours = RustSQLiteSession("ours", *self.options)

    def known(self) -> list[tuple[Any, ...]]:
        rows = self.theirs._cursor().execute("select * from entities order by date, id").fetchall()
        # Telethon looks phones up by text only, which the column converts to the integer that it
        # stores.
        return [(*row[:3], row[3] and str(row[3]), row[4]) for row in rows]

    @rule()
    def close(self) -> None:
        self.agree(lambda session: session.close())

    @rule()
    def reopen(self) -> None:
        self.agree(lambda session: session.close())
        self.open_files()

    @rule()
    def compare_files(self) -> None:
        self.agree(lambda session: session.save())
        assert dump("ours.session") == dump("theirs.session")

    @rule(is_rare=st.integers(0, 9))
    def delete(self, is_rare: int) -> None:
        if is_rare < 9:
            return
        self.agree(lambda session: session.delete())
        self.agree(lambda session: session.delete())
        assert not Path("ours.session").exists()
        self.agree(lambda session: session.close())
        self.open_files()

    @rule(key=keys.texts)
    def execute(self, key: str) -> None:
        self.agree(lambda session: session._execute("select name, hash, ? from entities order by id", key))

    def teardown(self) -> None:
        if hasattr(self, "ours"):
            self.compare_files()
            self.agree(lambda session: session.close())
            self.folder.cleanup()


class BoundedMachine(SQLiteMachine):
    """With few entities in memory, the answers and the file are the same."""

    def open_files(self) -> None:
        self.theirs = ReferenceSQLiteSession("theirs", *self.options)
        self.ours = RustSQLiteSession("ours", *self.options, max_entities=MAX_ENTITIES)

    @rule()
    def settle(self) -> None:
        """Everything is written, indexed and, except for a few entities, no longer in memory."""
        # A closed session does nothing, and is opened again for an entity that memory lacks.
        self.agree(lambda session: session.get_entity_rows_by_id(10**9))
        self.agree(lambda session: session.save())
        until_settled(self.ours)


TestMemoryMachine = MemoryMachine.TestCase
TestSQLiteMachine = SQLiteMachine.TestCase
TestBoundedMachine = BoundedMachine.TestCase

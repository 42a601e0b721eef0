"""State machines that make random calls to a session on a server and to Telethon's session in memory, and
compare the results.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from telethon.tl import types

from sessions.test_stateful import SessionMachine
from support.addresses import completed
from support.reference import ReferenceMemorySession
from support.servers import new_name
from support.strategies import channel_ids, states
from telethon_session_rust import RustMemorySession, RustSQLSession, open_session

# For each of the four servers.
FEW = settings(max_examples=settings().max_examples // 4)


def as_sql_stores(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns a row as the columns of telethon-session-sqlalchemy hold it."""
    id, access_hash, username, phone, name = row
    if username is not None and ("\0" in username or len(username) > 32):
        username = None
    if phone is not None:
        phone = str(int(phone)) if phone.isascii() and phone.isdigit() and int(phone) < 2**63 else None
    return id, access_hash, username, phone, name and name.replace("\0", "")[:255]


class StoreMachine(SessionMachine):
    database: str
    max_entities: int | None = None

    def open(self, stores_tmp_auth_key: bool) -> None:
        self.location = f"{self.database}#{new_name()}"
        self.theirs, self.ours = ReferenceMemorySession(), open_session(self.location, max_entities=self.max_entities)

    def known(self) -> list[tuple[Any, ...]]:
        return self.theirs._entities

    def look_up(self, call: Callable[[Any], Any]) -> None:
        """What memory does not know is found as the columns hold it, such as a phone number without its
        zeros.
        """
        try:
            self.agree(call)
        except AssertionError:
            if not isinstance(self.ours, RustSQLSession):
                raise
            self.theirs, before = deepcopy(self.theirs), self.theirs
            self.theirs._entities = {*map(as_sql_stores, before._entities)}
            self.agree(call)
            self.theirs = before

    @rule()
    def close(self) -> None:
        self.ours.close()

    @rule(waits=st.booleans())
    def reopen(self, waits: bool) -> None:
        """A new session finds everything, also before its entities are loaded."""
        self.ours.close()
        self.ours = open_session(self.location, max_entities=self.max_entities)
        # A key without bytes is none; temporary keys and settings are not stored.
        self.theirs.save_entities = True
        if not getattr(self.theirs.auth_key, "key", None):
            self.theirs.auth_key = None
        self.theirs._tmp_auth_key = None
        if self.theirs.auth_key:
            login = [None, self.theirs.dc_id, self.theirs.server_address, self.theirs.port]
            self.theirs._server_address, self.theirs._port = completed(login)[-2:]
        if isinstance(self.ours, RustSQLSession):
            self.theirs._entities = [as_sql_stores(row) for row in self.theirs._entities]
        while waits and not (self.ours._is_loaded() or self.max_entities):
            pass

    @rule()
    def clone(self) -> None:
        """A clone, for another data centre, is a session in memory."""
        clone = self.ours.clone()
        assert type(clone) is RustMemorySession and clone.save_entities == self.ours.save_entities
        assert self.ours.clone(clone) is clone

    @rule()
    def list_sessions(self) -> None:
        names = self.ours.list_sessions(self.database)
        assert names == sorted(names)

    @rule(id=channel_ids, state=states)
    def set_update_state(self, id: int, state: types.updates.State) -> None:
        """Telegram's dates are whole seconds."""
        state.date = state.date.replace(microsecond=0)
        self.agree(lambda session: session.set_update_state(id, state))

    @rule(id=channel_ids)
    def get_update_states(self, id: int) -> None:
        """A server returns them in the order of their IDs."""
        self.agree(lambda session: session.get_update_state(id))
        if hasattr(self.theirs, "get_update_states"):
            self.agree(lambda session: sorted(session.get_update_states(), key=lambda state: state[0]))

    def teardown(self) -> None:
        if hasattr(self, "ours"):
            self.reopen(True)
            found = {entity.marked_id for entity in self.ours.entities()}
            assert found ^ {row[0] for row in self.known()} - {0} == set()
            self.ours.delete()
            self.ours.close()


def test_random_calls(database: str) -> None:
    machine = type("Machine", (StoreMachine,), {"database": database})
    run_state_machine_as_test(machine, settings=FEW)

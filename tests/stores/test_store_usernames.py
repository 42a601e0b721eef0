"""Entities with several usernames, on servers."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from sessions.test_usernames import UsernamesMachine, named, owners
from stores.test_store_stateful import FEW
from support.servers import new_name
from telethon_session_rust import open_session


class StoreUsernamesMachine(UsernamesMachine):
    database: str

    def open(self) -> None:
        self.location = f"{self.database}#{new_name()}"
        self.ours = open_session(self.location)

    @rule(waits=st.booleans())
    def reopen(self, waits: bool) -> None:
        self.ours.close()
        self.ours = open_session(self.location)
        if waits:
            self.load()

    def load(self) -> None:
        while not self.ours._is_loaded():
            pass

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "location"):
            session = open_session(self.location)
            session.delete()
            session.close()


def test_usernames_move_as_in_a_model(database: str) -> None:
    machine = type("Machine", (StoreUsernamesMachine,), {"database": database})
    run_state_machine_as_test(machine, settings=FEW)


def test_hundreds_of_usernames(database: str) -> None:
    location = f"{database}#{new_name()}"
    first = open_session(location, timeout=300)
    first.process_entities([named(n, None, *(f"u{n}_{k}" for k in range(30))) for n in range(1, 1500)])
    first.close()
    second = open_session(location, timeout=300)
    assert owners(second, "u1_0 u700_15 u1499_29") == [1, 700, 1499]
    second.process_entities([named(n, None, f"u{n + 1}_0") for n in range(1, 1500)])
    second.close()
    third = open_session(location, timeout=300)
    assert owners(third, "u2_0 u1499_0 u1500_0 u1_0 u700_15") == [1, 1498, 1499, None, None]
    assert third.delete()
    third.close()

"""A session whose process forks: as in `multiprocessing` on Linux, and in web servers that load before they fork."""

from __future__ import annotations

import os
from typing import Any

from telethon.tl import types

import entities
from files import dump
from holding import held_by_another_program
from telethon_session_rust import RustMemorySession, RustSQLiteSession

CROWD = entities.crowd(100)


def in_a_child(call: Any) -> None:
    """Calls in a forked process, which then ends without any of the interpreter's own last words."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            call()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_child_goes_on_by_itself() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)

    def child() -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(10**6, 7, username="of_the_child")])
        session.save()
        session.close()

    in_a_child(child)
    session.process_entities([entities.user(10**6 + 1, 8, username="of_the_parent")])
    assert session.get_input_entity("of_the_child") == types.InputPeerUser(10**6, 7)
    session.close()
    assert len(dump("anna.session")["entities"]) == 102


def test_what_the_parent_has_not_saved_the_parent_saves() -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program():
        session.process_entities(CROWD)
        # Would the child write, it would wait for the file in vain and raise.
        in_a_child(session.close)
    session.close()
    assert len(dump("anna.session")["entities"]) == 100


def test_what_the_parent_received_just_before_is_known_to_the_child() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    session.save()
    # An input peer tells no names, so those that are known must stay.
    session.process_entities([types.InputPeerUser(1, 99)])

    def child() -> None:
        session.process_entities([entities.user(10**6, 7, username="of_the_child")])
        assert session.get_input_entity("user1") == types.InputPeerUser(1, 99)
        session.close()

    in_a_child(child)
    session.close()
    rows = dump("anna.session")["entities"]
    assert len(rows) == 101
    assert next(row for row in rows if row[0] == 1)[1:3] == (99, "user1")


def test_a_child_that_does_nothing_changes_nothing() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    in_a_child(lambda: None)
    session.save()
    assert len(dump("anna.session")["entities"]) == 100


def test_children_of_children() -> None:
    session = RustSQLiteSession("anna")

    def child(depth: int = 1) -> None:
        session.process_entities([CROWD[depth]])
        if depth < 4:
            in_a_child(lambda: child(depth + 1))
        session.close()

    child()
    assert len(dump("anna.session")["entities"]) == 4


def test_a_session_made_by_the_child() -> None:
    parents = RustSQLiteSession("anna")
    parents.process_entities(CROWD)

    def child() -> None:
        session = RustSQLiteSession("of_the_child")
        session.process_entities(CROWD)
        session.save()

    in_a_child(child)
    assert len(dump("of_the_child.session")["entities"]) == 100


def test_memory_is_the_childs_own() -> None:
    session = RustMemorySession()
    session.process_entities(CROWD)

    def child() -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(10**6, 7)])

    in_a_child(child)
    assert session.get_entity_rows_by_id(10**6) is None

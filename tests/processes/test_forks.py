"""A session whose process forks: as in `multiprocessing` on Linux, and in web servers that load before they fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from telethon.tl import types

from support import entities
from support.contents import KEY
from support.files import dump, on_disk
from support.forks import Gate, ends_well, fork, in_a_child
from support.locks import held_by_another_program
from telethon_session_rust import RustMemorySession, RustSQLiteSession

pytestmark = pytest.mark.any_release

CROWD = entities.crowd(100)


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


async def flush(session: Any) -> None:
    await session.flush()


USES: dict[str, Callable[[Any], Any]] = {
    "save": lambda session: session.save(),
    "close": lambda session: session.close(),
    "flush": lambda session: asyncio.run(flush(session)),
    "_execute": lambda session: session._execute("select 1"),
    "save in a loop": lambda session: asyncio.run(save_and_flush(session)),
}


async def save_and_flush(session: Any) -> None:
    session.save()
    await session.flush()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("is_grandchild", [False, True], ids=["child", "grandchild"])
def test_whoever_is_forked_uses_the_session(use: str, is_grandchild: bool) -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)

    def live(id: int) -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(id, 7, username=f"user_{id}")])
        session.auth_key = KEY
        USES[use](session)
        assert session.get_input_entity(f"user_{id}") == types.InputPeerUser(id, 7)

    def child() -> None:
        live(10**6)
        if is_grandchild:
            in_a_child(lambda: live(10**6 + 1))
            assert session.get_input_entity(f"user_{10**6 + 1}") == types.InputPeerUser(10**6 + 1, 7)
            session.close()

    in_a_child(child)
    live(10**6 + 2)
    session.close()
    assert len(dump("anna.session")["entities"]) == 102 + is_grandchild


def test_a_file_that_another_program_holds() -> None:
    """Parent, child and grandchild wait for it, and each writes its own."""
    session = RustSQLiteSession("anna")
    gates = [Gate(), Gate()]

    def grandchild() -> None:
        session.process_entities([entities.user(10**6 + 1, 7)])
        gates[1].wait()
        session.close()

    def child() -> None:
        session.process_entities([entities.user(10**6, 7)])
        pid = fork(grandchild)
        gates[0].wait()
        session.close()
        ends_well(pid)

    with held_by_another_program() as let_go:
        session.process_entities(CROWD)
        pid = fork(child)
        # They begin to wait for the file while it is held, and go on when it is not.
        for gate in gates:
            gate.open()
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        let_go()
    session.close()
    ends_well(pid)
    assert len(dump("anna.session")["entities"]) == 102


def test_a_fork_while_another_thread_closes() -> None:
    session, gate = RustSQLiteSession("anna"), Gate()

    def child() -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(10**6, 7)])
        gate.wait()
        session.close()

    with ThreadPoolExecutor(1) as threads:
        with held_by_another_program():
            session.process_entities(CROWD)
            closed = threads.submit(session.close)
            in_a_child(lambda: session.get_input_entity("user1"))
            pid = fork(child)
        closed.result()
    assert len(on_disk()) == 100
    gate.open()
    ends_well(pid)
    assert len(on_disk()) == 101

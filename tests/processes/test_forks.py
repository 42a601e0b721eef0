"""A session whose process forks, as `multiprocessing` does on Linux, and web servers that load
before they fork.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from telethon.tl import types

from support import entities
from support.contents import KEY
from support.files import dump, on_disk
from support.forks import Gate, fork, in_a_child, wait_for_success
from support.locks import locked_by_another_process
from support.programs import command
from telethon_session_rust import RustMemorySession, RustSQLiteSession

pytestmark = pytest.mark.any_release

CROWD = entities.crowd(100)


def test_a_child_uses_the_session() -> None:
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


def test_the_parent_saves_its_own_changes() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        session.process_entities(CROWD)
        # A child that wrote would wait for the file until the timeout, and raise.
        in_a_child(session.close)
    session.close()
    assert len(dump("anna.session")["entities"]) == 100


def test_a_child_knows_the_parents_unsaved_entities() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    session.save()
    # An input peer has no names, so the known ones must be kept.
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


def test_a_child_does_not_take_the_parents_unsaved_entities_for_deleted_ones() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)

    def child() -> None:
        # The parent writes them a second later.
        assert session.count_entities() == len(CROWD)
        assert session.find_entity("unknown") is None
        while not session._is_loaded():
            pass
        assert session.find_entity("user1")
        assert session.count_entities() == len(CROWD)
        session.close()

    in_a_child(child)
    session.close()


def test_an_idle_child_writes_nothing() -> None:
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


def test_a_session_created_by_the_child() -> None:
    parents_session = RustSQLiteSession("anna")
    parents_session.process_entities(CROWD)

    def child() -> None:
        session = RustSQLiteSession("of_the_child")
        session.process_entities(CROWD)
        session.save()

    in_a_child(child)
    assert len(dump("of_the_child.session")["entities"]) == 100


def test_a_memory_session_is_copied() -> None:
    session = RustMemorySession()
    session.process_entities(CROWD)

    def child() -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(10**6, 7)])

    in_a_child(child)
    assert session.get_entity_rows_by_id(10**6) is None


async def flush(session: Any) -> None:
    await session.flush()


CALLS: dict[str, Callable[[Any], Any]] = {
    "save": lambda session: session.save(),
    "close": lambda session: session.close(),
    "flush": lambda session: asyncio.run(flush(session)),
    "_execute": lambda session: session._execute("select 1"),
    "save in a loop": lambda session: asyncio.run(save_and_flush(session)),
}


async def save_and_flush(session: Any) -> None:
    session.save()
    await session.flush()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("is_grandchild", [False, True], ids=["child", "grandchild"])
def test_forked_processes_use_the_session(call: str, is_grandchild: bool) -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)

    def use_session(id: int) -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(id, 7, username=f"user_{id}")])
        session.auth_key = KEY
        CALLS[call](session)
        assert session.get_input_entity(f"user_{id}") == types.InputPeerUser(id, 7)

    def child() -> None:
        use_session(10**6)
        if is_grandchild:
            in_a_child(lambda: use_session(10**6 + 1))
            assert session.get_input_entity(f"user_{10**6 + 1}") == types.InputPeerUser(10**6 + 1, 7)
            session.close()

    in_a_child(child)
    use_session(10**6 + 2)
    session.close()
    assert len(dump("anna.session")["entities"]) == 102 + is_grandchild


def test_parent_child_and_grandchild_wait_for_a_locked_file() -> None:
    """Each of the processes writes its own changes."""
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
        wait_for_success(pid)

    with locked_by_another_process() as release:
        session.process_entities(CROWD)
        pid = fork(child)
        # They start waiting while the file is locked, and continue when it is unlocked.
        for gate in gates:
            gate.open()
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        release()
    session.close()
    wait_for_success(pid)
    assert len(dump("anna.session")["entities"]) == 102


def test_forks_while_threads_use_a_session_for_the_first_time() -> None:
    # What is made once is made at the first use, which is once in a process.
    for _ in range(20):
        subprocess.run(command("fork_at_first_use"), check=True)


def test_a_fork_while_another_thread_closes() -> None:
    session, gate = RustSQLiteSession("anna"), Gate()

    def child() -> None:
        assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
        session.process_entities([entities.user(10**6, 7)])
        gate.wait()
        session.close()

    with ThreadPoolExecutor(1) as threads:
        with locked_by_another_process():
            session.process_entities(CROWD)
            closed = threads.submit(session.close)
            in_a_child(lambda: session.get_input_entity("user1"))
            pid = fork(child)
        closed.result()
    assert len(on_disk()) == 100
    gate.open()
    wait_for_success(pid)
    assert len(on_disk()) == 101


def test_forks_while_a_file_is_loaded_beside_lookups() -> None:
    session = RustSQLiteSession("anna")
    session.process_entities(entities.crowd(30_000))
    session.close()
    for _ in range(5):
        session = RustSQLiteSession("anna")

        def look_up(session: RustSQLiteSession = session) -> None:
            while not session._is_loaded():
                assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
                with pytest.raises(ValueError, match="nobody"):
                    session.get_input_entity("nobody")

        with ThreadPoolExecutor(2) as threads:
            lookups = [threads.submit(look_up) for _ in range(2)]
            while not all(lookup.done() for lookup in lookups):
                in_a_child(look_up)
            for lookup in lookups:
                lookup.result()
        session.close()

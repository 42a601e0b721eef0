"""Sessions and `multiprocessing`, with each start method."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.tl import types

from support import entities
from support.contents import KEY
from support.counters import tally
from support.files import dump, on_disk
from support.programs import command
from support.waiting import TIMEOUT
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

METHODS = multiprocessing.get_all_start_methods()
CROWD = entities.crowd(100)


def run(method: str, call: Callable[..., Any], *arguments: Any) -> None:
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # The processes are then forked from one that has imported our package.
        context.set_forkserver_preload(["telethon_session_rust"])
    process = context.Process(target=call, args=arguments)
    process.start()
    process.join(TIMEOUT)
    process.kill()
    assert process.exitcode == 0
    tally("forks")


def open_and_write(path: str, is_left_open: bool) -> None:
    session = RustSQLiteSession(path)
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    session.process_entities([entities.user(10**6, 7, username="of_the_child")])
    if not is_left_open:
        session.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_left_open", [False, True])
def test_a_process_opens_the_parents_file(method: str, is_left_open: bool) -> None:
    """A child that does not close its session saves it when the last reference is dropped."""
    session = RustSQLiteSession("anna")
    session.process_entities(CROWD)
    session.save()
    run(method, open_and_write, str(Path("anna").absolute()), is_left_open)
    assert session.get_input_entity("of_the_child") == types.InputPeerUser(10**6, 7)
    session.close()
    assert len(dump("anna.session")["entities"]) == 101


def use(session: Any) -> None:
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    assert session.auth_key == AuthKey(KEY.key)
    session.process_entities([entities.user(10**6, 7, username="of_the_child")])
    assert session.get_input_entity("of_the_child") == types.InputPeerUser(10**6, 7)
    session.save()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("session", [RustMemorySession, RustStringSession])
def test_a_memory_session_is_pickled(method: str, session: Any) -> None:
    session = session()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    session.process_entities(CROWD)
    run(method, use, session)
    assert session.get_entity_rows_by_username("of_the_child") is None


@pytest.mark.parametrize("method", METHODS)
def test_a_file_session_is_inherited_or_refused(method: str) -> None:
    session = RustSQLiteSession("anna")
    session.auth_key = KEY
    session.process_entities(CROWD)
    if method == "fork":
        run(method, use, session)
    else:
        with pytest.raises(TypeError, match="RustSQLiteSession cannot be copied: open it again"):
            run(method, use, session)
    with pytest.raises(TypeError, match="RustSQLiteSession cannot be copied: open it again"):
        pickle.dumps(session)
    session.close()
    assert len(dump("anna.session")["entities"]) == (101 if method == "fork" else 100)


SESSIONS: list[Any] = []


def use_in_a_pool(n: int) -> int:
    (session,) = SESSIONS
    session.process_entities([entities.user(10**6 + n, n)])
    session.save()
    return session.get_input_entity(10**6 + n).access_hash


@pytest.mark.skipif("fork" not in METHODS, reason="this platform has no fork")
def test_a_pool_inherits_a_session() -> None:
    SESSIONS[:] = [RustSQLiteSession("anna")]
    SESSIONS[0].process_entities(CROWD)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(use_in_a_pool, range(1, 31))) == list(range(1, 31))
    SESSIONS.pop().close()
    assert len(dump("anna.session")["entities"]) == 130
    tally("forks", 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_children_that_outlive_their_parent_hold_no_lock() -> None:
    program = subprocess.Popen(command("fork_while_writing"), start_new_session=True)
    try:
        assert program.wait() == 0
        assert len(on_disk()) == 5000
        # With a leftover lock, this would raise after 30 s.
        session = RustSQLiteSession("anna")
        session.process_entities([entities.user(10**6, 7)])
        session.close()
        assert len(dump("anna.session")["entities"]) == 5001
        os.killpg(program.pid, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
    tally("forks", 5)

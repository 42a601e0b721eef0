"""A child does not write the changes that its parent had not saved at the fork, however the child
exits.

The parent has written them by then, and another process may have written newer ones.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from telethon.tl import types

from support import entities
from support.contents import add_numbered
from support.counters import tally
from support.files import on_disk
from support.forks import TIMEOUT, Gate, fork, wait_for_success
from support.locks import locked_by_another_process
from support.programs import command
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.any_release, pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")]


def numbers_on_disk() -> list[int]:
    """Returns the access hash, the pts and the sent file's hash."""
    return [on_disk("entities")[0][1], on_disk("update_state")[0][1], on_disk("sent_files")[0][4]]


def write_newer_rows() -> None:
    assert numbers_on_disk() == [1, 1, 1]
    subprocess.run(command("write_newer"), check=True)
    assert numbers_on_disk() == [2, 2, 2]


def look_up(session: Any) -> None:
    assert session.get_input_entity("numbered").access_hash in (1, 2)
    with suppress(ValueError):
        session.get_input_entity("unknown")


async def look_up_in_loop(session: Any) -> None:
    look_up(session)


def add_another(session: Any) -> None:
    session.process_entities([entities.user(5, 5)])
    session.set_update_state(5, types.updates.State(5, 5, entities.DATE, 5, 0))
    session.cache_file(b"5" * 16, 5, types.InputDocument(5, 5, b""))


def drop_sessions(sessions: list[Any]) -> None:
    sessions.clear()
    gc.collect()


SCENARIOS: dict[str, Callable[[list[Any]], Any]] = {
    "exits at once": lambda sessions: None,
    "saves": lambda sessions: sessions[0].save(),
    "closes": lambda sessions: sessions[0].close(),
    "flushes": lambda sessions: asyncio.run(flush(sessions[0])),
    "drops its session": drop_sessions,
    "looks up": lambda sessions: look_up(sessions[0]),
    "looks up and closes": lambda sessions: (look_up(sessions[0]), sessions[0].close()),
    "executes": lambda sessions: sessions[0]._execute("select 1"),
    "adds another and saves": lambda sessions: (add_another(sessions[0]), sessions[0].save()),
    "adds another and drops its session": lambda sessions: (add_another(sessions[0]), drop_sessions(sessions)),
    "grandchild closes": lambda sessions: wait_for_success(fork(sessions[0].close)),
}


async def flush(session: Any) -> None:
    await session.flush()


@pytest.mark.parametrize("is_looked_up", [False, True], ids=["just received", "looked up"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_child_exits(scenario: str, is_looked_up: bool) -> None:
    sessions, gate = [RustSQLiteSession("anna")], Gate()
    with locked_by_another_process():
        add_numbered(sessions[0], 1)
        if is_looked_up:
            # In an event loop, lookups do not wait for the file.
            asyncio.run(look_up_in_loop(sessions[0]))
        pid = fork(lambda: (gate.wait(), SCENARIOS[scenario](sessions)))
    sessions[0].save()
    write_newer_rows()
    gate.open()
    wait_for_success(pid)
    assert numbers_on_disk() == [2, 2, 2]
    sessions[0].close()
    assert numbers_on_disk() == [2, 2, 2]
    assert len(on_disk()) == (2 if "another" in scenario else 1)


def test_a_multiprocessing_child_exits() -> None:
    session, gate = RustSQLiteSession("anna"), Gate()
    with locked_by_another_process():
        add_numbered(session, 1)
        process = multiprocessing.get_context("fork").Process(target=gate.wait)
        process.start()
    session.save()
    write_newer_rows()
    gate.open()
    process.join(TIMEOUT)
    process.kill()
    assert process.exitcode == 0
    assert numbers_on_disk() == [2, 2, 2]
    tally("forks")


@pytest.mark.parametrize("action", ["pass", "exit", "close", "del"])
def test_a_child_exits_with_normal_shutdown(action: str) -> None:
    """Includes the interpreter's normal shutdown, unlike the tests above."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("exit_as_child", action), text=True, **pipes) as program:

        def expect(what: str) -> None:
            assert program.stdout.readline() == f"{what}\n"

        def send_line() -> None:
            program.stdin.write("\n")
            program.stdin.flush()

        try:
            expect("opened")
            with locked_by_another_process():
                send_line()
                expect("forked")
            send_line()
            expect("saved")
            write_newer_rows()
            _, stderr = program.communicate("\n", timeout=TIMEOUT)
        finally:
            program.kill()
    assert program.returncode == 0, stderr
    # On a slow machine it may have logged that it waits for the file.
    assert not any(word in stderr for word in ("Traceback", "panicked", "Fatal Python error"))
    assert numbers_on_disk() == [2, 2, 2]
    tally("forks")

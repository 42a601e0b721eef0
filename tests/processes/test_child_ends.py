"""What a parent has not saved when it forks, its child does not write, however the child ends: the parent has written
it by then, and somebody else may have written what is newer.
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
from support.contents import give_number
from support.counters import tried
from support.files import on_disk
from support.forks import PATIENCE, Gate, ends_well, fork
from support.locks import held_by_another_program
from support.programs import command
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.any_release, pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")]


def numbers_on_disk() -> list[int]:
    """Access hash, pts and the file's hash."""
    return [on_disk("entities")[0][1], on_disk("update_state")[0][1], on_disk("sent_files")[0][4]]


def somebody_writes_newer() -> None:
    assert numbers_on_disk() == [1, 1, 1]
    subprocess.run(command("write_newer"), check=True)
    assert numbers_on_disk() == [2, 2, 2]


def looks(session: Any) -> None:
    assert session.get_input_entity("somebody").access_hash in (1, 2)
    with suppress(ValueError):
        session.get_input_entity("nobody")


async def looks_in_a_loop(session: Any) -> None:
    looks(session)


def tells_of_another(session: Any) -> None:
    session.process_entities([entities.user(5, 5)])
    session.set_update_state(5, types.updates.State(5, 5, entities.DATE, 5, 0))
    session.cache_file(b"5" * 16, 5, types.InputDocument(5, 5, b""))


def forgets(sessions: list[Any]) -> None:
    sessions.clear()
    gc.collect()


WAYS: dict[str, Callable[[list[Any]], Any]] = {
    "at once": lambda sessions: None,
    "it saves": lambda sessions: sessions[0].save(),
    "it closes": lambda sessions: sessions[0].close(),
    "it flushes": lambda sessions: asyncio.run(flush(sessions[0])),
    "it forgets its session": forgets,
    "it looks": lambda sessions: looks(sessions[0]),
    "it looks and closes": lambda sessions: (looks(sessions[0]), sessions[0].close()),
    "it executes": lambda sessions: sessions[0]._execute("select 1"),
    "it tells of another and saves": lambda sessions: (tells_of_another(sessions[0]), sessions[0].save()),
    "it tells of another and forgets": lambda sessions: (tells_of_another(sessions[0]), forgets(sessions)),
    "its child closes": lambda sessions: ends_well(fork(sessions[0].close)),
}


async def flush(session: Any) -> None:
    await session.flush()


@pytest.mark.parametrize("is_looked_up", [False, True], ids=["just received", "looked up"])
@pytest.mark.parametrize("way", WAYS)
def test_a_child_ends(way: str, is_looked_up: bool) -> None:
    sessions, gate = [RustSQLiteSession("anna")], Gate()
    with held_by_another_program():
        give_number(sessions[0], 1)
        if is_looked_up:
            # In an event loop nobody waits for the file.
            asyncio.run(looks_in_a_loop(sessions[0]))
        pid = fork(lambda: (gate.wait(), WAYS[way](sessions)))
    sessions[0].save()
    somebody_writes_newer()
    gate.open()
    ends_well(pid)
    assert numbers_on_disk() == [2, 2, 2]
    sessions[0].close()
    assert numbers_on_disk() == [2, 2, 2]
    assert len(on_disk()) == (2 if "another" in way else 1)


def test_a_process_of_multiprocessing_ends() -> None:
    session, gate = RustSQLiteSession("anna"), Gate()
    with held_by_another_program():
        give_number(session, 1)
        process = multiprocessing.get_context("fork").Process(target=gate.wait)
        process.start()
    session.save()
    somebody_writes_newer()
    gate.open()
    process.join(PATIENCE)
    process.kill()
    assert process.exitcode == 0
    assert numbers_on_disk() == [2, 2, 2]
    tried("forks")


@pytest.mark.parametrize("how", ["pass", "exit", "close", "del"])
def test_a_program_that_is_a_child_ends(how: str) -> None:
    """With all of the interpreter's own last words."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("end_as_a_child", how), text=True, **pipes) as program:

        def step(what: str) -> None:
            assert program.stdout.readline() == f"{what}\n"

        def go_on() -> None:
            program.stdin.write("\n")
            program.stdin.flush()

        try:
            step("opened")
            with held_by_another_program():
                go_on()
                step("forked")
            go_on()
            step("saved")
            somebody_writes_newer()
            _, said = program.communicate("\n", timeout=PATIENCE)
        finally:
            program.kill()
    assert program.returncode == 0, said
    # A machine that is slow may have it say that it waits for the file.
    assert not any(word in said for word in ("Traceback", "panicked", "Fatal Python error"))
    assert numbers_on_disk() == [2, 2, 2]
    tried("forks")

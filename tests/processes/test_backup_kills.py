"""Backups of a file that several programs write, and of programs that are killed: whole or not there."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from pathlib import Path

import pytest

from support import entities
from support.files import dump
from support.profile import PROFILE
from support.programs import command
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.any_release]

RUNS = {"quick": 5, "long": 200}.get(PROFILE, 30)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_killed_backup_leaves_the_one_before(kind: str, folder: Path) -> None:
    pauses = random.Random(1)
    for run in range(RUNS):
        with subprocess.Popen(command("back_up", kind), stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout.readline() == "first\n"
            time.sleep(pauses.random() / 5)
            program.kill()
        copied = dump("copy.session")
        ids = sorted(row[0] for row in copied["entities"])
        assert ids == list(range(1, len(ids) + 1)) and len(ids) >= 5000, run
        assert copied["update_state"][0][1] in (len(ids), len(ids) - 1)
    left = [path for path in folder.iterdir() if path.name.startswith(".copy.session")]
    assert len(left) <= RUNS


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_other_programs_go_on_writing(mode: str) -> None:
    """A backup of a file that another program writes all the time is made, and the program is never
    refused.
    """
    session = RustSQLiteSession("anna")
    session._put_rows((id, 1, f"user{id}", None, f"Anna {id}") for id in range(1, 300_001))
    asyncio.run(session.flush())
    session.close()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command("write_all_the_time", "anna.session", mode), stdin=pipe, stdout=pipe, text=True
    ) as other:
        assert other.stdout.readline() == "writing\n"
        session = RustSQLiteSession("anna")
        for run in range(3):
            session.process_entities([entities.user(10**6 + run, 1)])
            asyncio.run(session.backup("copy", overwrite=True))
            copied = dump("copy.session")
            assert len(copied["entities"]) == 300_001 + run
            # The program writes both numbers in one transaction.
            (first,), (second,) = copied["numbers"]
            assert first == second
        session.close()
        number = dump("copy.session")["numbers"][0][0]
        print(file=other.stdin, flush=True)
        assert other.stdout.readline() == "0 refused\n"
    assert number > 0


def test_a_million_entities_while_the_session_is_used() -> None:
    session = RustSQLiteSession("anna")
    session._put_rows((id, 1, f"user{id}", None, f"Anna {id}") for id in range(1, 1_000_001))
    until(lambda: session._is_loaded())

    async def run() -> None:
        await session.flush()
        for name in "one", "two":
            backup = asyncio.ensure_future(session.backup(name))
            turns = flushes = 0
            while not backup.done():
                turns += 1
                session.process_entities([entities.user(2 * 10**6 + turns, 1)])
                assert session.get_input_entity(f"user{turns}")
                await asyncio.sleep(0)
                if turns % 1000 == 0:
                    await session.flush()
                    flushes += 1
            await backup
            assert turns > 10

    asyncio.run(run())
    for name in "one", "two":
        assert len(dump(f"{name}.session")["entities"]) >= 10**6
    session.close()

"""A file that is held by another program, or is on a full disk: nothing is lost that can be kept."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import threading

import pytest
from telethon.tl import types

from support import entities
from support.contents import KEY, STATE, everything_is_on_disk, tell_everything
from support.files import on_disk
from support.locks import held_by_another_program
from support.log_messages import warnings_in
from support.programs import command
from support.sleep_clock import CAN_TELL
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.any_release


async def test_a_locked_file_is_no_error_for_entities() -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program():
        for page in range(10):
            session.process_entities(entities.crowd(100)[page * 10 : page * 10 + 10])
            session.set_update_state(0, STATE)
            session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
            session.save()
            assert session.get_input_entity(page * 10 + 1)
            with pytest.raises(ValueError):
                session.get_input_entity("nobody")
            await asyncio.sleep(0.05)
    await session.flush()
    assert everything_is_on_disk()


def test_save_outside_a_loop_waits_for_the_file() -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program() as let_go:
        tell_everything(session)
        threading.Timer(0.5, let_go).start()
        session.save()
        assert everything_is_on_disk()


@pytest.mark.slow
async def test_credentials_that_cannot_be_written_are_an_error_and_not_lost() -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program():
        session.auth_key = KEY
        with pytest.raises(sqlite3.OperationalError, match=r"database is locked.*anna\.session"):
            session.save()
    assert session.auth_key == KEY
    session.save()
    assert on_disk("sessions")[0][3] == KEY.key


@pytest.mark.slow
async def test_who_waits_long_for_a_file_is_told(caplog: pytest.LogCaptureFixture) -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program():
        tell_everything(session)
        await asyncio.to_thread(until, lambda: len(warnings_in(caplog)) > 0)
    assert re.search(r"anna\.session.*100 entities, 1 update state, 1 sent file", warnings_in(caplog)[0])
    await session.flush()
    await asyncio.to_thread(until, lambda: len(warnings_in(caplog)) > 1)
    assert "can be written again" in warnings_in(caplog)[1]


@pytest.mark.slow
def test_what_close_cannot_write_it_names_and_keeps(caplog: pytest.LogCaptureFixture) -> None:
    session = RustSQLiteSession("anna")
    with held_by_another_program():
        tell_everything(session)
        unsaved = r"anna\.session.*unsaved.*100 entities, 1 update state, 1 sent file"
        with pytest.raises(sqlite3.OperationalError, match=unsaved):
            session.close()
        # It took 30 s, and after 5 s the log said why.
        assert len(warnings_in(caplog)) == 1
    session.close()
    assert everything_is_on_disk()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limits")
def test_a_full_disk() -> None:
    """Nothing is lost: it is written once there is room."""
    subprocess.run(command("fill_the_disk"), check=True)
    assert len(on_disk()) == 3000


@pytest.mark.skipif(not CAN_TELL, reason="only Linux tells how often a thread slept")
def test_a_program_does_not_wait_for_what_time_cannot_mend() -> None:
    """It waits up to 30 s for a file that is held, but there is nothing to wait for in a file that is malformed."""
    program = subprocess.run(command("end_with_a_malformed_file"), check=True, capture_output=True, text=True)
    # To wait for 30 s would be to sleep 600 times.
    assert int(program.stdout) < 100
    assert "anna.session" in program.stderr

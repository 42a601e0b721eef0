"""A file that another process has locked, or that is on a full disk: no change is lost that can be
kept.
"""

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
from support.contents import KEY, STATE, everything_is_on_disk, populate
from support.files import on_disk
from support.locks import locked_by_another_process
from support.log_messages import warnings_in
from support.programs import command
from support.sleep_clock import IS_SUPPORTED
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.any_release


async def test_entities_are_accepted_while_the_file_is_locked() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        for page in range(10):
            session.process_entities(entities.crowd(100)[page * 10 : page * 10 + 10])
            session.set_update_state(0, STATE)
            session.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
            session.save()
            assert session.get_input_entity(page * 10 + 1)
            with pytest.raises(ValueError):
                session.get_input_entity("unknown")
            await asyncio.sleep(0.05)
    await session.flush()
    assert everything_is_on_disk()


def test_save_outside_a_loop_waits_for_the_file() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process() as release:
        populate(session)
        threading.Timer(0.5, release).start()
        session.save()
        assert everything_is_on_disk()


@pytest.mark.slow
async def test_unsaved_credentials_raise_and_are_kept() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        session.auth_key = KEY
        with pytest.raises(sqlite3.OperationalError, match=r"database is locked.*anna\.session"):
            session.save()
    assert session.auth_key == KEY
    session.save()
    assert on_disk("sessions")[0][3] == KEY.key


@pytest.mark.slow
async def test_a_long_wait_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        populate(session)
        await asyncio.to_thread(until, lambda: len(warnings_in(caplog)) > 0)
    assert re.search(r"anna\.session.*100 entities, 1 update state, 1 sent file", warnings_in(caplog)[0])
    await session.flush()
    await asyncio.to_thread(until, lambda: len(warnings_in(caplog)) > 1)
    assert "can be written again" in warnings_in(caplog)[1]


@pytest.mark.slow
def test_close_reports_and_keeps_unsaved_changes(caplog: pytest.LogCaptureFixture) -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        populate(session)
        unsaved = r"anna\.session.*unsaved.*100 entities, 1 update state, 1 sent file"
        with pytest.raises(sqlite3.OperationalError, match=unsaved):
            session.close()
        # `close()` waited for 30 s, and logged the reason after 5 s.
        assert len(warnings_in(caplog)) == 1
    session.close()
    assert everything_is_on_disk()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limits")
def test_full_disk() -> None:
    """Unsaved changes are kept, and written once there is room."""
    subprocess.run(command("fill_disk"), check=True)
    assert len(on_disk()) == 3000


@pytest.mark.skipif(not IS_SUPPORTED, reason="only Linux counts how often a thread slept")
def test_exit_does_not_wait_for_a_malformed_file() -> None:
    """A program waits up to 30 s for a locked file, but not for a malformed one."""
    program = subprocess.run(command("exit_with_malformed_file"), check=True, capture_output=True, text=True)
    # A wait of 30 s would sleep 600 times.
    assert int(program.stdout) < 100
    assert "anna.session" in program.stderr

"""What is on disk, and when: the guarantees of README's section on saving."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest
from telethon.tl import types

from support import entities
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, populate
from support.files import dump, on_disk
from support.locks import locked_by_another_process
from support.waiting import until
from telethon_session_rust import RustSQLiteSession

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no file modes")


def test_save_outside_a_loop_returns_when_all_is_on_disk() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    assert session.save() is None
    assert everything_is_on_disk()


async def test_save_in_a_loop_returns_at_once() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        populate(session)
        # A `save()` that waited for the file would never return.
        assert session.save() is None
    await asyncio.to_thread(until, everything_is_on_disk)


async def test_credentials_are_on_disk_when_save_returns() -> None:
    session = RustSQLiteSession("anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key, session.takeout_id = KEY, 7
    session.save()
    assert on_disk("sessions")[0][:5] == (2, "149.154.167.51", 443, KEY.key, 7)
    session.auth_key = OTHER_KEY
    session.save()
    assert on_disk("sessions")[0][3] == OTHER_KEY.key


async def test_changes_are_saved_without_save() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    session.auth_key = KEY
    await asyncio.to_thread(until, lambda: everything_is_on_disk() and on_disk("sessions")[0][3] == KEY.key)


async def test_flush_waits_without_blocking_the_loop() -> None:
    session = RustSQLiteSession("anna")
    await session.flush()
    populate(session)
    await session.flush()
    assert everything_is_on_disk()
    with locked_by_another_process() as release:
        session.process_entities([entities.user(1000, 1)])
        flushed = asyncio.ensure_future(session.flush())
        for _ in range(50):
            await asyncio.sleep(0.01)
        assert not flushed.done()
        await asyncio.to_thread(release)
        await flushed
    assert len(on_disk()) == 101


async def test_flush_can_be_cancelled() -> None:
    session = RustSQLiteSession("anna")
    with locked_by_another_process():
        populate(session)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session.flush(), 0.05)
    await asyncio.gather(*(session.flush() for _ in range(10)))
    assert everything_is_on_disk()


def test_close() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    assert session.close() is None
    assert everything_is_on_disk()
    session.close()
    # A closed session reopens its file when it is used again, as Telethon's does.
    session.process_entities([entities.user(1000, 1, username="afterwards")])
    session.close()
    assert session.get_input_entity("afterwards") == types.InputPeerUser(1000, 1)


def test_the_last_reference_is_dropped() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    del session
    gc.collect()
    until(everything_is_on_disk)


@posix_only
def test_only_the_owner_can_read_a_new_file() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    session.save()
    assert stat.S_IMODE(Path("anna.session").stat().st_mode) == 0o600


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o600])
def test_an_existing_file_keeps_its_mode(mode: int) -> None:
    RustSQLiteSession("anna").close()
    Path("anna.session").chmod(mode)
    session = RustSQLiteSession("anna")
    populate(session)
    session.close()
    assert stat.S_IMODE(Path("anna.session").stat().st_mode) == mode


def test_a_replaced_key_is_erased_from_the_file() -> None:
    session = RustSQLiteSession("anna")
    session.auth_key = KEY
    populate(session)
    session.save()
    assert KEY.key in Path("anna.session").read_bytes()
    session.auth_key = OTHER_KEY
    session.save()
    data = Path("anna.session").read_bytes()
    assert not any(KEY.key[at : at + 16] in data for at in range(0, 256, 16))
    session.auth_key = None
    session.close()
    assert OTHER_KEY.key[:16] not in Path("anna.session").read_bytes()
    assert [path.name for path in Path().iterdir()] == ["anna.session"]


@pytest.mark.parametrize("mode", ["wal", "delete", "persist", "truncate"])
def test_the_journal_mode_is_kept(mode: str) -> None:
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")
    session = RustSQLiteSession("anna")
    populate(session)
    session.close()
    assert everything_is_on_disk()
    with closing(sqlite3.connect("anna.session")) as file:
        assert file.execute("pragma journal_mode").fetchone() == ("wal" if mode == "wal" else "delete",)


def test_nothing_is_written_after_delete() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    assert session.delete() is True
    session.save()
    session.close()
    time.sleep(1.5)  # Long enough for the writer to run.
    assert list(Path().iterdir()) == []
    assert session.delete() is False


def test_nothing_is_written_without_changes() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    session.close()
    before, content = Path("anna.session").stat(), dump("anna.session")
    session = RustSQLiteSession("anna")
    session.get_input_entity("user1")
    session.save()
    session.close()
    assert Path("anna.session").stat().st_mtime_ns == before.st_mtime_ns
    assert dump("anna.session") == content

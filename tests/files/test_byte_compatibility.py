"""Our session and Telethon's write identical bytes for identical calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.clock import second_of
from support.files import dump, normalised, vacuumed
from support.reference import HAS_TMP_AUTH_KEY
from telethon_session_rust import RustSQLiteSession

Fill = Callable[[Any], None]

DATE = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


def key(seed: int) -> AuthKey:
    return AuthKey(bytes((seed * n) % 256 for n in range(256)))


def state(pts: int, date: datetime = DATE) -> types.updates.State:
    return types.updates.State(pts, qts=pts % 7, date=date, seq=pts % 11, unread_count=3)


def do_nothing(session: Any) -> None:
    """Leaves the new file empty."""


def log_in(session: Any) -> None:
    """Logs in as `TelegramClient` does: sets the nearest data centre, a key, another data centre
    and another key.
    """
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = key(1)
    session.save()
    session.set_dc(4, "2001:67c:4e8:f004::a", 443)
    session.auth_key = None
    session.save()
    session.auth_key = key(3)
    session.takeout_id = -(2**62)
    session.save()
    session.process_entities([types.InputPeerUser(0, 777), entities.user(777, first_name="I", is_self=True)])


def receive_3000(session: Any) -> None:
    """Adds batches of 100, saving now and then."""
    crowd = entities.crowd(3000)
    for first in range(0, 3000, 100):
        session.process_entities(crowd[first : first + 100])
        if first % 1000 == 0:
            session.save()


def receive_updates(session: Any) -> None:
    for channel in range(300):
        session.set_update_state(channel, state(channel, DATE + timedelta(seconds=channel)))
    session.save()
    # Microseconds make the date a float.
    session.set_update_state(7, state(7, DATE + timedelta(microseconds=1)))


def send_files(session: Any) -> None:
    for n in range(200):
        session.cache_file(n.to_bytes(16, "big"), n * 1000, types.InputDocument(n, -n, b""))
        session.cache_file(n.to_bytes(16, "big"), n * 1000, types.InputPhoto(n, n, b""))


def everything(session: Any) -> None:
    for fill in (log_in, receive_3000, receive_updates, send_files):
        fill(session)
        session.save()


def rename_all(session: Any) -> None:
    everything(session)
    for entity in (crowd := entities.crowd(3000)):
        if isinstance(entity, types.User):
            entity.first_name, entity.username = entity.username, f"{entity.id:x}_renamed"
    session.process_entities(crowd[::-1])
    receive_updates(session)
    send_files(session)
    session.set_dc(1, "149.154.175.53", 80)
    session.auth_key = key(5)


def write_both(fill: Fill, *options: Any) -> None:
    """Fills both sessions by equal calls, with the clock of Telethon's patched to the seconds that
    ours recorded.
    """
    theirs, ours = SQLiteSession("theirs", *options), RustSQLiteSession("ours", *options)
    seconds: list[int] = []
    process_entities = ours.process_entities
    ours.process_entities = lambda tlo: seconds.append(second_of(lambda: process_entities(tlo)))
    fill(ours)
    ours.close()
    with patch("telethon.sessions.sqlite.time", SimpleNamespace(time=iter(seconds).__next__)):
        fill(theirs)
    theirs.close()


@pytest.mark.parametrize("fill", [do_nothing, log_in, receive_3000, receive_updates, send_files, everything])
def test_bytes_are_equal(fill: Fill) -> None:
    write_both(fill)
    assert dump("ours.session") == dump("theirs.session")
    assert normalised("ours.session") == normalised("theirs.session")
    assert vacuumed("ours.session") == vacuumed("theirs.session")


@pytest.mark.parametrize("fill", [everything, rename_all])
def test_rows_are_equal_after_rewrites(fill: Fill) -> None:
    """Rewritten rows may be at other places in a page, depending on when each was written."""

    def twice(session: Any) -> None:
        fill(session)
        fill(session)

    write_both(twice)
    assert dump("ours.session") == dump("theirs.session")
    assert vacuumed("ours.session") == vacuumed("theirs.session")


def log_in_with_temporary_key(session: Any) -> None:
    log_in(session)
    session.tmp_auth_key = key(7)


@pytest.mark.parametrize("options", [(), (False,), (True,)] if HAS_TMP_AUTH_KEY else [()])
def test_a_temporary_key_is_stored_if_requested(options: tuple[bool, ...]) -> None:
    write_both(log_in_with_temporary_key, *options)
    assert normalised("ours.session") == normalised("theirs.session")
    assert (key(7).key in Path("ours.session").read_bytes()) is (options == (True,))


def test_normalising_keeps_data() -> None:
    """A changed value in a single row changes the normalised bytes."""
    session = SQLiteSession("theirs")
    everything(session)
    session.close()
    before = normalised("theirs.session")
    with closing(sqlite3.connect("theirs.session")) as file, file:
        file.execute("update entities set hash = hash + 1 where id = 1501")
    changed = normalised("theirs.session")
    assert len(changed) == len(before)
    assert 1 <= sum(a != b for a, b in zip(before, changed, strict=True)) <= 8

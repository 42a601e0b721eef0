"""The file that we write is the file that Telethon writes, byte for byte, where the same things are done."""

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

Do = Callable[[Any], None]

DATE = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)


def key(seed: int) -> AuthKey:
    return AuthKey(bytes((seed * n) % 256 for n in range(256)))


def state(pts: int, date: datetime = DATE) -> types.updates.State:
    return types.updates.State(pts, qts=pts % 7, date=date, seq=pts % 11, unread_count=3)


def nothing(session: Any) -> None:
    """A new file."""


def log_in(session: Any) -> None:
    """As `TelegramClient` does: the nearest data centre, a key, another data centre, another key."""
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


def meet_3000(session: Any) -> None:
    """In pages of 100, saved once a minute, as it were."""
    everybody = entities.crowd(3000)
    for first in range(0, 3000, 100):
        session.process_entities(everybody[first : first + 100])
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
    for do in (log_in, meet_3000, receive_updates, send_files):
        do(session)
        session.save()


def rename_everybody(session: Any) -> None:
    everything(session)
    for entity in (everybody := entities.crowd(3000)):
        if isinstance(entity, types.User):
            entity.first_name, entity.username = entity.username, f"{entity.id:x}_renamed"
    session.process_entities(everybody[::-1])
    receive_updates(session)
    send_files(session)
    session.set_dc(1, "149.154.175.53", 80)
    session.auth_key = key(5)


def write_both(do: Do, *options: Any) -> None:
    """Both do the same, at the same times: the clock of Telethon's session says what ours has seen on its own."""
    theirs, ours = SQLiteSession("theirs", *options), RustSQLiteSession("ours", *options)
    seconds: list[int] = []
    process_entities = ours.process_entities
    ours.process_entities = lambda tlo: seconds.append(second_of(lambda: process_entities(tlo)))
    do(ours)
    ours.close()
    with patch("telethon.sessions.sqlite.time", SimpleNamespace(time=iter(seconds).__next__)):
        do(theirs)
    theirs.close()


@pytest.mark.parametrize("do", [nothing, log_in, meet_3000, receive_updates, send_files, everything])
def test_the_same_bytes(do: Do) -> None:
    write_both(do)
    assert dump("ours.session") == dump("theirs.session")
    assert normalised("ours.session") == normalised("theirs.session")
    assert vacuumed("ours.session") == vacuumed("theirs.session")


@pytest.mark.parametrize("do", [everything, rename_everybody])
def test_the_same_rows_after_rewrites(do: Do) -> None:
    """In which gaps the rewritten rows of a page lie says when they were written, and nothing else."""

    def twice(session: Any) -> None:
        do(session)
        do(session)

    write_both(twice)
    assert dump("ours.session") == dump("theirs.session")
    assert vacuumed("ours.session") == vacuumed("theirs.session")


def log_in_with_temporary_key(session: Any) -> None:
    log_in(session)
    session.tmp_auth_key = key(7)


@pytest.mark.parametrize("options", [(), (False,), (True,)] if HAS_TMP_AUTH_KEY else [()])
def test_a_temporary_key_is_stored_if_it_shall_be(options: tuple[bool, ...]) -> None:
    write_both(log_in_with_temporary_key, *options)
    assert normalised("ours.session") == normalised("theirs.session")
    assert (key(7).key in Path("ours.session").read_bytes()) is (options == (True,))


def test_the_normaliser_leaves_what_is_data() -> None:
    """A single bit of any row, or of the schema, makes a difference."""
    session = SQLiteSession("theirs")
    everything(session)
    session.close()
    before = normalised("theirs.session")
    with closing(sqlite3.connect("theirs.session")) as file, file:
        file.execute("update entities set hash = hash + 1 where id = 1501")
    changed = normalised("theirs.session")
    assert len(changed) == len(before)
    assert 1 <= sum(a != b for a, b in zip(before, changed, strict=True)) <= 8

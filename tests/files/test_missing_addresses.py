"""A key and its data centre ID without an address, as some converters write it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from telethon.client.telegrambaseclient import DEFAULT_DC_ID, DEFAULT_IPV4_IP, DEFAULT_PORT
from telethon.sessions import MemorySession, SQLiteSession, StringSession

from support.addresses import ADDRESSES
from support.cli import call, changed, filled, rows_of, unchanged
from support.contents import KEY
from support.log_messages import warnings_in
from support.reference import ReferenceSQLiteSession
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

each_data_centre = pytest.mark.parametrize("dc_id", ADDRESSES)
null_or_empty = pytest.mark.parametrize("missing", ["null", "''"])
UNKNOWN_IDS = [0, 6, 203, 2**40]


def converted(dc_id: int, missing: str = "null") -> Path:
    return changed(filled(), f"update sessions set dc_id = {dc_id}, server_address = {missing}, port = null")


def test_the_default_data_centre_has_telethons_address() -> None:
    assert (ADDRESSES[DEFAULT_DC_ID], 443) == (DEFAULT_IPV4_IP, DEFAULT_PORT)


@each_data_centre
@null_or_empty
def test_the_address_is_filled_in(dc_id: int, missing: str) -> None:
    path = converted(dc_id, missing)
    with unchanged(path):
        session = RustSQLiteSession(path)
        assert (session.dc_id, session.server_address, session.port) == (dc_id, ADDRESSES[dc_id], 443)
        assert session.auth_key.key == KEY.key
        string = RustStringSession.save(session)
        session.close()
    assert StringSession(string).server_address == ADDRESSES[dc_id]
    # The next write stores the address.
    session = RustSQLiteSession(path)
    session.auth_key = session.auth_key
    session.close()
    theirs = ReferenceSQLiteSession("anna")
    assert (theirs.dc_id, theirs.server_address, theirs.port) == (dc_id, ADDRESSES[dc_id], 443)
    theirs.close()


@each_data_centre
@null_or_empty
def test_the_commands(dc_id: int, missing: str) -> None:
    path = converted(dc_id, missing)
    check = call("check", path)
    assert check.code == 1 and "1 problem found" in check.error
    assert "address of its data centre" in check.out and "telethon-session repair anna.session" in check.out
    exported = call("export", path)
    assert exported.code == 0
    assert StringSession(exported.out.strip()).server_address == ADDRESSES[dc_id]
    assert call("merge", path, "--into", "merged").code == 0
    repaired = call("repair", path)
    assert repaired.code == 0 and f"the address of data centre {dc_id}" in repaired.out
    assert rows_of(path, "sessions")[0][:3] == (dc_id, ADDRESSES[dc_id], 443)
    assert call("check", path).code == 0


def test_merging_into_such_a_file_keeps_its_login() -> None:
    into = converted(4)
    before = rows_of(into, "sessions")
    filled("other.session")
    assert call("merge", "other", "--into", into).code == 0
    assert rows_of(into, "sessions") == before


@pytest.mark.parametrize("dc_id", UNKNOWN_IDS)
def test_an_unknown_data_centre(dc_id: int, caplog: pytest.LogCaptureFixture) -> None:
    """The session behaves as Telethon's, and logs a warning."""
    path = converted(dc_id)
    session = RustSQLiteSession(path)
    assert (session.dc_id, session.server_address) == (dc_id, None)
    session.close()
    # Another thread emits the log message.
    until(lambda: any("neither the address" in text for text in warnings_in(caplog)))
    with pytest.raises(ValueError, match=f"data centre {dc_id} is not one of Telegram's"):
        RustStringSession.save(session)
    with unchanged(path):
        check, repair = call("check", path), call("repair", path)
        assert (check.code, repair.code) == (1, 1)
        assert f"{dc_id:,}".replace(",", "") in check.out and "log in again" in check.out
        assert "cannot be repaired" in repair.error and "log in again" in repair.error
        assert "data centre" in call("export", path).error


def test_without_a_key_nothing_is_filled_in() -> None:
    path = changed(filled(), "update sessions set dc_id = 4, server_address = null, auth_key = x''")
    session = RustSQLiteSession(path)
    assert (session.dc_id, session.server_address) == (4, None)
    session.close()


@pytest.mark.parametrize("session_class", [MemorySession, RustMemorySession, SQLiteSession, RustSQLiteSession])
def test_a_string_from_a_session_without_an_address(session_class: type) -> None:
    session = session_class()
    session.set_dc(5, None, None)
    session.auth_key = KEY
    copy = StringSession(RustStringSession.save(session))
    assert (copy.dc_id, copy.server_address, copy.port) == (5, ADDRESSES[5], 443)


def test_an_existing_address_is_kept() -> None:
    path = changed(filled(), "update sessions set dc_id = 4, server_address = '127.0.0.1', port = 8443")
    session = RustSQLiteSession(path)
    assert (session.server_address, session.port) == ("127.0.0.1", 8443)
    session.close()
    assert sqlite3.connect(path).execute("select server_address from sessions").fetchone() == ("127.0.0.1",)

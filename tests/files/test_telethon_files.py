"""Files that many releases of Telethon wrote: ours opens, upgrades and reads them as the installed
Telethon does.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION
from telethon.tl import types

from support import entities
from support.files import dump, normalised
from support.real_files import FILES, SPOILED, rows_of, telethon_can_open, version_of
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A real file, copied to `theirs.session` and `ours.session`."""
    for copy in ("theirs", "ours"):
        shutil.copyfile(request.param, folder / f"{copy}.session")
    return request.param


@pytest.fixture(params=[path for path in FILES if telethon_can_open(path)], ids=lambda path: path.stem)
def readable_file(request: pytest.FixtureRequest, folder: Path) -> Path:
    for copy in ("theirs", "ours"):
        shutil.copyfile(request.param, folder / f"{copy}.session")
    return request.param


def read_all(session: Any, rows: list[tuple[Any, ...]]) -> list[Any]:
    """Returns everything that a session can be asked, by all keys in the rows and by some unknown
    keys.
    """

    def found(key: Any) -> Any:
        try:
            return session.get_input_entity(key).to_dict()
        except ValueError:
            return None

    keys: list[Any] = [1, -1, "unknown", "+7 000", types.PeerUser(1)]
    for id, _, username, phone, name, *_ in rows:
        keys += [id, abs(id), str(id), username, phone and str(phone), name, f"https://t.me/{username}"]
    states = [session.get_update_state(id) for id in (0, 1, *(row[0] for row in rows))]
    return [
        [found(key) for key in keys],
        [session.get_entity_rows_by_id(row[0]) for row in rows],
        [session.get_entity_rows_by_phone(row[3]) for row in rows],
        (session.dc_id, session.server_address, session.port, session.takeout_id),
        (session.auth_key.key, session.auth_key.key_id),
        [state and state.to_dict() for state in states],
    ]


def test_ours_reads_what_telethon_reads(readable_file: Path) -> None:
    theirs, ours = ReferenceSQLiteSession("theirs"), RustSQLiteSession("ours")
    if readable_file.stem == SPOILED:
        assert (theirs.takeout_id, ours.takeout_id) == (b"", None)
        theirs._takeout_id = None
    rows = rows_of("theirs.session")
    assert read_all(ours, rows) == read_all(theirs, rows)
    # Again after the file was closed and everything has been read into memory.
    ours.close()
    assert read_all(ours, rows) == read_all(theirs, rows)


def test_ours_upgrades_as_telethon_does(readable_file: Path) -> None:
    """The schemas are equal, including whitespace. A file that needs no upgrade is not changed."""
    ReferenceSQLiteSession("theirs").close()
    RustSQLiteSession("ours").close()
    assert dump("ours.session") == dump("theirs.session")
    assert normalised("ours.session") == normalised("theirs.session")
    if version_of(readable_file) == CURRENT_VERSION:
        assert Path("ours.session").read_bytes() == readable_file.read_bytes()


def test_telethon_opens_what_ours_wrote(file: Path) -> None:
    if version_of(file) > CURRENT_VERSION:
        # Telethon before 1.43 cannot read version 8: only ours and newer releases can.
        with pytest.raises(ValueError, match="unpack"):
            SQLiteSession("theirs")
        reopen = RustSQLiteSession
    else:
        reopen = ReferenceSQLiteSession
    ours = RustSQLiteSession("ours")
    login = (ours.dc_id, ours.server_address, ours.port, ours.auth_key.key, ours.takeout_id)
    ours.process_entities(entities.crowd(50))
    ours.set_update_state(9, types.updates.State(1, 2, entities.DATE, 3, 0))
    ours.auth_key = ours.auth_key
    ours.close()
    assert version_of("ours.session") == max(version_of(file), CURRENT_VERSION)
    theirs = reopen("ours")
    assert (theirs.dc_id, theirs.server_address, theirs.port, theirs.auth_key.key, theirs.takeout_id) == login
    assert theirs.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    assert theirs.get_update_state(9).pts == 1
    theirs.process_entities([entities.user(2, 5, username="afterwards")])
    theirs.close()
    assert RustSQLiteSession("ours").get_input_entity("afterwards") == types.InputPeerUser(2, 5)


def test_an_invalid_takeout_id_is_repaired() -> None:
    """Telethon 1.43 and 1.44 swap the last two columns on reading, and saved an empty key as the
    takeout ID.
    """
    shutil.copyfile(FILES[0].parent / f"{SPOILED}.session", "ours.session")
    before = rows_of("ours.session", "sessions")
    assert before[0][4] == b""
    session = RustSQLiteSession("ours")
    assert session.takeout_id is None
    session.auth_key = session.auth_key
    session.close()
    assert rows_of("ours.session", "sessions") == [(*before[0][:4], None, *before[0][5:])]


def test_version_1_is_upgraded_to_what_telethon_can_open() -> None:
    oldest = next(path for path in FILES if version_of(path) == 1)
    for name in ("theirs.session", "ours.session"):
        shutil.copyfile(oldest, name)
    with pytest.raises(sqlite3.OperationalError, match="no such table: sent_files"):
        SQLiteSession("theirs")
    RustSQLiteSession("ours").close()
    theirs = SQLiteSession("ours")
    assert theirs.auth_key.key == rows_of(oldest, "sessions")[0][3]
    theirs.cache_file(b"1" * 16, 1, types.InputDocument(1, 2, b""))
    theirs.set_update_state(0, types.updates.State(1, 2, entities.DATE, 3, 0))
    theirs.close()


@pytest.mark.parametrize("version", [9, 99, 0, -1])
def test_an_unknown_version_is_refused_and_unchanged(version: int) -> None:
    path = Path("ours.session")
    shutil.copyfile(FILES[-1], path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("update version set version = ?", (version,))
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match=rf"ours\.session.* version {version}\b"):
        RustSQLiteSession("ours")
    assert path.read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["ours.session"]


@pytest.mark.parametrize(
    "content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4080], ids=["text", "header"]
)
def test_a_file_that_is_not_a_database_is_refused_and_unchanged(content: bytes) -> None:
    Path("ours.session").write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError, match=r"ours\.session"):
        RustSQLiteSession("ours")
    assert Path("ours.session").read_bytes() == content

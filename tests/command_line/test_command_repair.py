"""`telethon-session repair` saves the undamaged parts of a file, and both classes can open the
result.
"""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support.cli import IS_POSIX, call, changed, fill, filled, rows_of, unchanged
from support.contents import KEY
from support.files import dump
from support.key_traces import traces
from support.mutations import page_size
from support.real_files import FILES, version_of
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import reader

TABLES = ("sessions", "entities", "update_state", "sent_files")
ENTITIES = 3000
# A lower bound for the size of a row, which limits how many fit on a page.
MIN_ROW_SIZE = 20


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of a file with many pages that Telethon wrote."""
    path = tmp_path_factory.mktemp("content") / "anna.session"
    fill(SQLiteSession(str(path)), ENTITIES)
    return path.read_bytes()


@pytest.fixture
def path(content: bytes) -> Path:
    path = Path("anna.session")
    path.write_bytes(content)
    return path


def all_rows(path: Path) -> dict[str, list[Any]]:
    return {table: rows_of(path, table) for table in TABLES}


def root_pages(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as file:
        return dict(file.execute("select name, rootpage from sqlite_master").fetchall())


def page_numbers(data: bytes) -> range:
    return range(1, len(data) // page_size(data) + 1)


def overwrite_page(data: bytes, number: int, byte: int = 0) -> bytes:
    size = page_size(data)
    return data[: (number - 1) * size] + bytes([byte]) * size + data[number * size :]


def repair(path: Path, *, code: int = 0, has_key: bool = True) -> str:
    """Repairs a file, checks what must hold for every repaired file, and returns the output."""
    damaged = path.read_bytes()
    result = call("repair", path)
    assert result.code == code, result
    assert not [trace for trace in traces(KEY.key) if trace in result.out + result.err]
    assert Path(f"{path}.broken").read_bytes() == damaged
    assert call("check", path).code == 0
    theirs, ours = ReferenceSQLiteSession(str(path)), RustSQLiteSession(path)
    assert theirs.auth_key.key == ours.auth_key.key == (KEY.key if has_key else None)
    theirs.close()
    ours.close()
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return result.out


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_an_undamaged_file(real: Path) -> None:
    """The new file has all rows, upgraded as the session class upgrades them."""
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        assert "nothing to repair" in call("repair", "anna").out
    before = path.read_bytes()
    result = call("repair", "anna", "--into", "new")
    is_old = version_of(real) <= 5
    assert (result.code, path.read_bytes()) == (int(is_old), before)
    assert ("access hashes may be wrong: 100" in result.out) == is_old
    assert call("check", "new").code == 0
    RustSQLiteSession("anna").close()
    ours, theirs = all_rows(path), all_rows(Path("new.session"))
    # The empty key that Telethon 1.44 writes as takeout ID is dropped. Older releases have no sixth
    # column.
    credentials = [(*row[:4], None if row[4] == b"" else row[4]) for row in ours["sessions"]]
    assert [row[:5] for row in theirs["sessions"]] == credentials
    assert {table: sorted(rows) for table, rows in theirs.items() if table != "sessions"} == {
        table: sorted(rows) for table, rows in ours.items() if table != "sessions"
    }


def test_an_undamaged_file_with_many_pages(path: Path) -> None:
    assert call("repair", "anna", "--into", "new").code == 0
    assert all_rows(Path("new.session")) == all_rows(path)
    RustSQLiteSession("fresh").close()
    assert dump("new.session")["schema"] == dump("fresh.session")["schema"]


@pytest.mark.parametrize("byte", [0, 255])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 1])
def test_a_damaged_page(path: Path, part: float, byte: int) -> None:
    """Only the rows on it are lost, which are consecutive."""
    before, data = all_rows(path), path.read_bytes()
    path.write_bytes(overwrite_page(data, int(part * page_numbers(data)[-1]), byte))
    output = repair(path, code=1)
    assert "lost" in output and "pages that cannot be read: 1" in output
    after = all_rows(path)
    assert {**after, "entities": None} == {**before, "entities": None}
    lost = {*before["entities"]} - {*after["entities"]}
    assert {*after["entities"]} <= {*before["entities"]}
    assert 0 < len(lost) < page_size(data) / MIN_ROW_SIZE
    places = [at for at, row in enumerate(before["entities"]) if row in lost]
    assert places == [*range(places[0], places[0] + len(lost))]


@pytest.mark.parametrize("byte", [0, 255])
@pytest.mark.parametrize("name", ["schema", "entities", "sqlite_autoindex_sent_files_1"])
def test_a_damaged_page_without_rows(path: Path, name: str, byte: int) -> None:
    """The schema, the interior page of a table, or an index. No row is lost."""
    before = all_rows(path)
    path.write_bytes(overwrite_page(path.read_bytes(), {"schema": 1, **root_pages(path)}[name], byte))
    repair(path)
    assert all_rows(path) == before


def test_a_damaged_page_of_the_login(path: Path) -> None:
    before = all_rows(path)
    path.write_bytes(overwrite_page(path.read_bytes(), root_pages(path)["sessions"]))
    output = repair(path, code=1, has_key=False)
    assert "no auth key" in output
    assert {**all_rows(path), "sessions": None} == {**before, "sessions": None}


@pytest.mark.parametrize(("offset", "count"), [(0, 100), (3, 2)], ids=["page header", "number of cells"])
def test_a_damaged_page_header_of_the_login(path: Path, offset: int, count: int) -> None:
    before, data = all_rows(path), path.read_bytes()
    start = (root_pages(path)["sessions"] - 1) * page_size(data) + offset
    path.write_bytes(data[:start] + bytes(count) + data[start + count :])
    repair(path)
    assert all_rows(path) == before


def test_entities_that_are_not_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them in batches, each after the last ID of the one before, must end."""
    monkeypatch.setattr(reader, "BATCH_ROWS", 50)
    changed(path, "vacuum")
    before, data = all_rows(path), path.read_bytes()
    size = page_size(data)
    early, late = (data.index(f"user{n}Анна".encode()) // size * size for n in (1011, 2511))
    path.write_bytes(data[:late] + data[early : early + size] + data[late + size :])
    for command in ("check", "entities"):
        result = call(command, "anna")
        assert result.code == 1 and "not in order" in result.out + result.err
    repair(path)
    lost = {*before["entities"]} - {*rows_of(path)}
    assert {*rows_of(path)} <= {*before["entities"]}
    assert 2511 in {row[0] for row in lost} and len(lost) < size / MIN_ROW_SIZE


def test_a_lost_key_is_reported(path: Path) -> None:
    path.write_bytes(overwrite_page(path.read_bytes(), root_pages(path)["sessions"]))
    result = call("repair", "anna")
    assert "the auth key in anna.session cannot be read" in result.error and "log in again" in result.error


@pytest.mark.parametrize("part", [0.3, 0.6, 0.999])
def test_a_truncated_file(path: Path, part: float) -> None:
    # Removes old copies of rows that were moved to another page.
    changed(path, "vacuum")
    before, data = all_rows(path), path.read_bytes()
    data = data[: int(part * len(data))]
    path.write_bytes(data)
    output = repair(path, code=1)
    assert "missing at the end" in output or "rows that cannot be read" in output
    after = all_rows(path)
    assert {**after, "entities": None} == {**before, "entities": None}
    assert {*after["entities"]} <= {*before["entities"]}
    whole_pages = data[: len(data) // page_size(data) * page_size(data)]
    # In a row without a phone, the name directly follows the username.
    remaining = {
        row for row in before["entities"] if row[2] and not row[3] and f"{row[2]}{row[4]}".encode() in whole_pages
    }
    assert len(remaining) > 100 and remaining <= {*after["entities"]}


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no header": lambda data: bytes(100) + data[100:],
    "no magic string": lambda data: b"x" + data[1:],
    "page size": lambda data: data[:16] + b"\x20\x00" + data[18:],
    "page count": lambda data: data[:28] + b"\xff\xff\xff\xff" + data[32:],
    "freelist": lambda data: data[:32] + b"\x00\x00\x00\x05\x00\x00\x00\x09" + data[40:],
    "schema format": lambda data: data[:44] + b"\x00\x00\x00\x09" + data[48:],
    "schema syntax": lambda data: data.replace(b"CREATE TABLE entities", b"CREATE TABLx entities", 1),
    "table name": lambda data: data.replace(b"CREATE TABLE entities", b"CREATE TABLE enlilies", 1),
    "trailing bytes": lambda data: data + b"\xff" * 5000,
    "swapped pages": lambda data: data[:8192] + data[12288:16384] + data[8192:12288] + data[16384:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_outside_of_rows(path: Path, damage: Callable[[bytes], bytes]) -> None:
    before = all_rows(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    if call("check", "anna").code == 0:
        # SQLite ignores bytes after the last page.
        assert all_rows(path) == before
        return
    # A swapped page is read as rows of another table, which are dropped.
    repair(path, code=int(damage is DAMAGE["swapped pages"]))
    assert all_rows(path) == before


def test_rows_with_overflow_pages(path: Path) -> None:
    changed(path, "update entities set name = name || hex(zeroblob(10000)) where id % 100 = 1")
    before = all_rows(path)
    assert sum(len(row[4] or "") > 20_000 for row in before["entities"]) > 20
    path.write_bytes(overwrite_page(path.read_bytes(), 1))
    repair(path)
    assert all_rows(path) == before


def test_a_missing_table(path: Path) -> None:
    before = all_rows(path)
    changed(path, "drop table update_state")
    assert "the table update_state is missing" in repair(path, code=1)
    assert all_rows(path) == {**before, "update_state": []}


def test_no_file_is_overwritten(path: Path) -> None:
    changed(path, "drop table update_state")
    data = path.read_bytes()
    for number in range(3):
        path.write_bytes(data)
        assert call("repair", "anna").code == 1
        assert Path(f"anna.session.broken{f'.{number}' if number else ''}").read_bytes() == data
    path.write_bytes(data)
    filled("new.session")
    with unchanged(path, Path("new.session")):
        assert "already exists" in call("repair", "anna", "--into", "new").error


@pytest.mark.parametrize(
    "content", [b"not a session\r\n" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, bytes(9000)], ids=range(3)
)
def test_a_file_without_session_data(content: bytes) -> None:
    path = Path("anna.session")
    path.write_bytes(content)
    with unchanged(path):
        assert "no session data" in call("repair", "anna").error
        assert "no session data" in call("repair", "anna", "--into", "new").error


@pytest.mark.skipif(not IS_POSIX, reason="on Windows symbolic links need privileges")
def test_a_symbolic_link(path: Path) -> None:
    """Its target is repaired, and the link remains."""
    real = path.rename("real.session")
    path.symlink_to(real)
    changed(real, "drop table update_state")
    assert "lost" in call("repair", "anna").out
    assert path.is_symlink() and call("check", "real").code == 0
    assert Path("real.session.broken").is_file()

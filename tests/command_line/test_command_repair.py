"""`telethon-session repair` of files of which a part is damaged: the other parts survive, and both classes open it."""

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
from telethon_session_rust.cli import reading

TABLES = ("sessions", "entities", "update_state", "sent_files")
MANY = 3000
# More than fit on a page: of Telethon's rows the shortest takes so many bytes.
SHORTEST = 20


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of many pages, as Telethon leaves it."""
    path = tmp_path_factory.mktemp("many") / "anna.session"
    fill(SQLiteSession(str(path)), MANY)
    return path.read_bytes()


@pytest.fixture
def path(many: bytes) -> Path:
    path = Path("anna.session")
    path.write_bytes(many)
    return path


def all_rows(path: Path) -> dict[str, list[Any]]:
    return {table: rows_of(path, table) for table in TABLES}


def roots(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as file:
        return dict(file.execute("select name, rootpage from sqlite_master").fetchall())


def pages_of(data: bytes) -> range:
    return range(1, len(data) // page_size(data) + 1)


def without_page(data: bytes, number: int, by: int = 0) -> bytes:
    size = page_size(data)
    return data[: (number - 1) * size] + bytes([by]) * size + data[number * size :]


def repaired(path: Path, *, code: int = 0, has_key: bool = True) -> str:
    """Calls it, and looks at what every repaired file must be. Returns what was said."""
    damaged = path.read_bytes()
    answer = call("repair", path)
    assert answer.code == code, answer
    assert not [trace for trace in traces(KEY.key) if trace in answer.out + answer.err]
    assert Path(f"{path}.broken").read_bytes() == damaged
    assert call("check", path).code == 0
    theirs, ours = ReferenceSQLiteSession(str(path)), RustSQLiteSession(path)
    assert theirs.auth_key.key == ours.auth_key.key == (KEY.key if has_key else None)
    theirs.close()
    ours.close()
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return answer.out


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_all_of_a_real_file_survives(real: Path) -> None:
    """It is upgraded, as the session's class does it."""
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        assert "nothing was done" in call("repair", "anna").out
    before = path.read_bytes()
    answer = call("repair", "anna", "--into", "new")
    is_old = version_of(real) <= 5
    assert (answer.code, path.read_bytes()) == (int(is_old), before)
    assert ("access hashes may be wrong: 100" in answer.out) == is_old
    assert call("check", "new").code == 0
    RustSQLiteSession("anna").close()
    ours, theirs = all_rows(path), all_rows(Path("new.session"))
    # What Telethon 1.44 spoiled is not kept. An older Telethon has no sixth column, which is empty here.
    spoiled = [(*row[:4], None if row[4] == b"" else row[4]) for row in ours["sessions"]]
    assert [row[:5] for row in theirs["sessions"]] == spoiled
    assert {table: sorted(rows) for table, rows in theirs.items() if table != "sessions"} == {
        table: sorted(rows) for table, rows in ours.items() if table != "sessions"
    }


def test_all_of_a_big_file_survives(path: Path) -> None:
    assert call("repair", "anna", "--into", "new").code == 0
    assert all_rows(Path("new.session")) == all_rows(path)
    RustSQLiteSession("fresh").close()
    assert dump("new.session")["schema"] == dump("fresh.session")["schema"]


@pytest.mark.parametrize("by", [0, 255])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 1])
def test_one_page_is_damaged(path: Path, part: float, by: int) -> None:
    """Those on it are lost, who stood there side by side, and nobody else."""
    before, data = all_rows(path), path.read_bytes()
    path.write_bytes(without_page(data, int(part * pages_of(data)[-1]), by))
    said = repaired(path, code=1)
    assert "lost" in said and "pages that cannot be read: 1" in said
    after = all_rows(path)
    assert {**after, "entities": None} == {**before, "entities": None}
    lost = {*before["entities"]} - {*after["entities"]}
    assert {*after["entities"]} <= {*before["entities"]}
    assert 0 < len(lost) < page_size(data) / SHORTEST
    places = [at for at, row in enumerate(before["entities"]) if row in lost]
    assert places == [*range(places[0], places[0] + len(lost))]


@pytest.mark.parametrize("by", [0, 255])
@pytest.mark.parametrize("name", ["schema", "entities", "sqlite_autoindex_sent_files_1"])
def test_no_row_is_lost_with_a_page_that_has_none(path: Path, name: str, by: int) -> None:
    """The description of the tables, the page that tells where the others are, and an index."""
    before = all_rows(path)
    path.write_bytes(without_page(path.read_bytes(), {"schema": 1, **roots(path)}[name], by))
    repaired(path)
    assert all_rows(path) == before


def test_the_page_of_the_login_is_damaged(path: Path) -> None:
    before = all_rows(path)
    path.write_bytes(without_page(path.read_bytes(), roots(path)["sessions"]))
    said = repaired(path, code=1, has_key=False)
    assert "no key" in said
    assert {**all_rows(path), "sessions": None} == {**before, "sessions": None}


@pytest.mark.parametrize(("at", "count"), [(0, 100), (3, 2)], ids=["its head", "how many rows it has"])
def test_a_page_that_no_longer_tells_where_its_login_is(path: Path, at: int, count: int) -> None:
    before, data = all_rows(path), path.read_bytes()
    begin = (roots(path)["sessions"] - 1) * page_size(data) + at
    path.write_bytes(data[:begin] + bytes(count) + data[begin + count :])
    repaired(path)
    assert all_rows(path) == before


def test_entities_that_are_not_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads them a page after the other, each from where the last one ended, must not read for ever."""
    monkeypatch.setattr(reading, "PAGE", 50)
    changed(path, "vacuum")
    before, data = all_rows(path), path.read_bytes()
    size = page_size(data)
    early, late = (data.index(f"user{n}Анна".encode()) // size * size for n in (1011, 2511))
    path.write_bytes(data[:late] + data[early : early + size] + data[late + size :])
    for command in ("check", "entities"):
        answer = call(command, "anna")
        assert answer.code == 1 and "not in order" in answer.out + answer.err
    repaired(path)
    lost = {*before["entities"]} - {*rows_of(path)}
    assert {*rows_of(path)} <= {*before["entities"]}
    assert 2511 in {row[0] for row in lost} and len(lost) < size / SHORTEST


def test_it_says_that_one_has_to_log_in_again(path: Path) -> None:
    path.write_bytes(without_page(path.read_bytes(), roots(path)["sessions"]))
    answer = call("repair", "anna")
    assert "the key of anna.session could not be read" in answer.error and "log in again" in answer.error


@pytest.mark.parametrize("part", [0.3, 0.6, 0.999])
def test_a_file_that_was_cut_off(path: Path, part: float) -> None:
    # Then no row that was moved to another page is still to be seen on its old one.
    changed(path, "vacuum")
    before, data = all_rows(path), path.read_bytes()
    data = data[: int(part * len(data))]
    path.write_bytes(data)
    said = repaired(path, code=1)
    assert "missing at the end" in said or "rows that cannot be read" in said
    after = all_rows(path)
    assert {**after, "entities": None} == {**before, "entities": None}
    assert {*after["entities"]} <= {*before["entities"]}
    whole_pages = data[: len(data) // page_size(data) * page_size(data)]
    # Username and name are side by side in a row without a phone, and so of one entity.
    there = {row for row in before["entities"] if row[2] and not row[3] and f"{row[2]}{row[4]}".encode() in whole_pages}
    assert len(there) > 100 and there <= {*after["entities"]}


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "no header": lambda data: bytes(100) + data[100:],
    "no magic word": lambda data: b"x" + data[1:],
    "page size": lambda data: data[:16] + b"\x20\x00" + data[18:],
    "page count": lambda data: data[:28] + b"\xff\xff\xff\xff" + data[32:],
    "freelist": lambda data: data[:32] + b"\x00\x00\x00\x05\x00\x00\x00\x09" + data[40:],
    "schema's format": lambda data: data[:44] + b"\x00\x00\x00\x09" + data[48:],
    "a letter of the schema": lambda data: data.replace(b"CREATE TABLE entities", b"CREATE TABLx entities", 1),
    "the name of a table": lambda data: data.replace(b"CREATE TABLE entities", b"CREATE TABLE enlilies", 1),
    "rubbish at the end": lambda data: data + b"\xff" * 5000,
    "pages swapped": lambda data: data[:8192] + data[12288:16384] + data[8192:12288] + data[16384:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_no_row_is_lost_with_what_is_around_them(path: Path, damage: Callable[[bytes], bytes]) -> None:
    before = all_rows(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    if call("check", "anna").code == 0:
        # Bytes after the last page are nobody's.
        assert all_rows(path) == before
        return
    # Of swapped pages one is read as rows of another table, and these are dropped.
    repaired(path, code=int(damage is DAMAGE["pages swapped"]))
    assert all_rows(path) == before


def test_long_rows_that_go_on_on_other_pages(path: Path) -> None:
    changed(path, "update entities set name = name || hex(zeroblob(10000)) where id % 100 = 1")
    before = all_rows(path)
    assert sum(len(row[4] or "") > 20_000 for row in before["entities"]) > 20
    path.write_bytes(without_page(path.read_bytes(), 1))
    repaired(path)
    assert all_rows(path) == before


def test_a_table_that_is_missing(path: Path) -> None:
    before = all_rows(path)
    changed(path, "drop table update_state")
    assert "the table update_state is missing" in repaired(path, code=1)
    assert all_rows(path) == {**before, "update_state": []}


def test_nothing_is_ever_written_over(path: Path) -> None:
    changed(path, "drop table update_state")
    data = path.read_bytes()
    for number in range(3):
        path.write_bytes(data)
        assert call("repair", "anna").code == 1
        assert Path(f"anna.session.broken{f'.{number}' if number else ''}").read_bytes() == data
    path.write_bytes(data)
    filled("new.session")
    with unchanged(path, Path("new.session")):
        assert "is there already" in call("repair", "anna", "--into", "new").error


@pytest.mark.parametrize(
    "content", [b"not a session\r\n" * 1000, b"SQLite format 3\0" + b"\xff" * 9000, bytes(9000)], ids=range(3)
)
def test_where_there_is_nothing_to_be_saved(content: bytes) -> None:
    path = Path("anna.session")
    path.write_bytes(content)
    with unchanged(path):
        assert "holds nothing of a session" in call("repair", "anna").error
        assert "holds nothing of a session" in call("repair", "anna", "--into", "new").error


@pytest.mark.skipif(not IS_POSIX, reason="on Windows links are for administrators")
def test_through_a_link(path: Path) -> None:
    """The file is repaired, and the link stays one."""
    real = path.rename("real.session")
    path.symlink_to(real)
    changed(real, "drop table update_state")
    assert "lost" in call("repair", "anna").out
    assert path.is_symlink() and call("check", "real").code == 0
    assert Path("real.session.broken").is_file()

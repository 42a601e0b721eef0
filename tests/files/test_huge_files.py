"""Session files with far more content than Telethon writes: they are read in bounded memory, and
lookups work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from telethon.tl import types

from support import entities
from support.contents import OTHER_KEY
from support.counters import tally
from support.file_client import FileWorker
from support.file_worker import KEY
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

HUGE = 50_000_000
ROWS = 200_000
KEYS = [7, "user7", "+79990000007", "Anna 7"]
SEVENTH = types.InputPeerUser(7, 8).to_dict()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileWorker]:
    with FileWorker(tmp_path_factory.mktemp("huge")) as worker:
        yield worker


@pytest.fixture
def path(worker: FileWorker) -> Iterator[Path]:
    path = worker.new_path()
    session = RustSQLiteSession(path)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = OTHER_KEY
    session.process_entities([entities.user(7, 8, username="user7", phone="79990000007", first_name="Anna 7")])
    session.close()
    yield path
    path.unlink()


def check(path: Path, worker: FileWorker, script: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"pragma synchronous = off; begin; {script}; commit")
    (report,) = worker.run(path, keys=KEYS, load_seconds=30)
    tally("malformed files")
    assert (report.errors, report.refused) == ([], None)
    assert report.ours == report.theirs
    assert report.found == [[SEVENTH] * len(KEYS)] * 2
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("select auth_key from sessions").fetchall() == [(KEY.key,)]


TEXT = f"replace(hex(zeroblob({HUGE // 2})), '0', 'x')"
VALUES = {
    "username": f"insert into entities values (1, 1, {TEXT}, null, null, 1)",
    "name": f"insert into entities values (1, 1, null, null, {TEXT}, 1)",
    "phone": f"insert into entities values (1, 1, null, {TEXT}, null, 1)",
    "blob as name": f"insert into entities values (1, 1, null, null, randomblob({HUGE}), 1)",
    "key": f"update sessions set auth_key = randomblob({HUGE})",
    "address": f"update sessions set server_address = {TEXT}",
    "digest": f"insert into sent_files values (randomblob({HUGE}), 1, 1, 1, 1)",
}


@pytest.mark.parametrize("script", VALUES.values(), ids=VALUES)
def test_a_huge_value(script: str, path: Path, worker: FileWorker) -> None:
    check(path, worker, script)


NUMBERS = f"with recursive numbers(n) as (select 1000 union all select n + 1 from numbers where n < {999 + ROWS})"
ANY = "case n % 5 when 0 then null when 1 then n when 2 then randomblob(9) when 3 then 'x' || n else n / 7.0 end"
TABLES = {
    "entities": f"insert into entities {NUMBERS} select n, ifnull({ANY}, 5), {ANY}, {ANY}, {ANY}, {ANY} from numbers",
    "states": f"insert into update_state {NUMBERS} select n, {ANY}, {ANY}, n, {ANY} from numbers",
    "files": f"insert into sent_files {NUMBERS} select n, {ANY}, {ANY}, {ANY}, {ANY} from numbers",
    "logins": f"insert into sessions (dc_id, port) {NUMBERS} select n, {ANY} from numbers",
    "versions": f"insert into version {NUMBERS} select n from numbers",
}


@pytest.mark.parametrize("script", TABLES.values(), ids=TABLES)
def test_many_invalid_rows(script: str, path: Path, worker: FileWorker) -> None:
    check(path, worker, script)


SCHEMAS = {
    "tables": "".join(f"create table table_{n} (a primary key, b unique, c);" for n in range(1000)),
    "indexes": "".join(f"create index index_{n} on entities (name, date, {n}, username);" for n in range(1000)),
    "views": "create view view_0 as select 1 as a;"
    + "".join(f"create view view_{n} as select * from view_{n - 1} join view_{n - 1};" for n in range(1, 1000)),
    "triggers": "create table seen (id);"
    + "".join(
        f"create trigger trigger_{n} after insert on entities begin insert into seen values (new.id); end;"
        for n in range(1000)
    ),
    "columns": f"create table wide ({', '.join(f'column_{n}' for n in range(1900))})",
}


@pytest.mark.parametrize("script", SCHEMAS.values(), ids=SCHEMAS)
def test_a_large_schema(script: str, path: Path, worker: FileWorker) -> None:
    check(path, worker, script)

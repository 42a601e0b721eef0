"""Files with a session's name that are not session files: they are refused with a clear error, and
not changed.
"""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import socket
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION

from support.counters import tally
from support.file_client import FileWorker, fast_folder
from support.file_worker import KEY
from support.files import dump
from support.real_files import FILES, version_of
from support.unprivileged import NOBODY


@pytest.fixture(scope="module")
def worker() -> Iterator[FileWorker]:
    with fast_folder() as folder, FileWorker(folder) as worker:
        yield worker


@pytest.fixture
def path(worker: FileWorker) -> Path:
    return worker.new_path()


def refusal(path: Path, worker: FileWorker, **options: Any) -> str:
    """Opens a file that must be refused. Returns the error message, without the file's name."""
    (report,) = worker.run(path, **options)
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    assert report.refused, report
    return report.refused.replace(str(path), "")


def write(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("anna.session", FILES[-1].read_bytes())
    return packed.getvalue()


NOT_DATABASES = {
    "text": b"not a session\n" * 100,
    "two bytes": b"SQ",
    "magic string": b"SQLite format 3\0",
    "header only": FILES[-1].read_bytes()[:100],
    "junk after the magic string": b"SQLite format 3\0" + b"\xff" * 4080,
    "zeros": bytes(8192),
    "encrypted": random.Random(1).randbytes(8192),
    "zip": zipped(),
}


@pytest.mark.parametrize("content", NOT_DATABASES.values(), ids=NOT_DATABASES)
def test_not_a_database(content: bytes, path: Path, worker: FileWorker) -> None:
    path.write_bytes(content)
    assert re.search(r"not a database|malformed|no session", refusal(path, worker))


def test_an_empty_file_is_a_new_session(path: Path, worker: FileWorker) -> None:
    path.touch()
    path.chmod(0o640)
    (report,) = worker.run(path)
    assert (report.errors, report.refused) == ([], None)
    assert dump(path)["sessions"][0][3] == KEY.key
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


PYROGRAM = """
create table sessions (
    dc_id integer primary key, api_id integer, test_mode integer, auth_key blob, date integer not null, user_id integer,
    is_bot integer
);
create table peers (
    id integer primary key, access_hash integer, type integer not null, username text, phone_number text,
    last_update_on integer not null default (cast(strftime('%s', 'now') as integer))
);
create table version (number integer primary key);
create index idx_peers_id on peers (id);
create trigger trg_peers_last_update_on after update on peers begin
    update peers set last_update_on = cast(strftime('%s', 'now') as integer) where id = new.id;
end;
insert into version values ({number});
insert into sessions values (2, 1, 0, randomblob(256), 0, 1, 0);
insert into peers (id, access_hash, type, username) values (1, 2, 'user', 'anna');
"""


@pytest.mark.parametrize("number", [3, 4, 5])
def test_a_pyrogram_session(number: int, path: Path, worker: FileWorker) -> None:
    write(path, PYROGRAM.format(number=number))
    assert re.search(r"no (Telethon )?session|Pyrogram", refusal(path, worker))


# Databases with one of our tables but no `version`, or with another `version` table than ours.
OTHER_SCHEMAS = {
    "sessions": "create table sessions (id integer, cookie text); insert into sessions values (1, 'x')",
    "entities": "create table entities (name text); insert into entities values ('x')",
    "update_state": "create table update_state (x)",
    "a view entities": "create view entities as select 1",
    "an index sessions": "create table notes (x); create index sessions on notes (x)",
    "another version": "create table version (major integer, minor integer); insert into version values (1, 2)",
    "version alone": "create table version (version integer); insert into version values (7)",
    "an empty version": "create table version (version integer)",
    "a view version": "create view version as select 7 as version",
    "a virtual version": "create virtual table version using fts5(number)",
}


@pytest.mark.parametrize("script", OTHER_SCHEMAS.values(), ids=OTHER_SCHEMAS)
def test_a_database_of_another_program_with_our_table_names(script: str, path: Path, worker: FileWorker) -> None:
    write(path, script)
    assert refusal(path, worker)


def test_a_database_of_another_program(worker: FileWorker) -> None:
    """As in Telethon, the tables of a session are added to it."""
    paths = [worker.new_path(), worker.new_path()]
    for path in paths:
        write(path, "create table notes (x); insert into notes values (1); create view seen as select * from notes")
    SQLiteSession(str(paths[0])).close()
    (report,) = worker.run(paths[1])
    assert (report.errors, report.refused) == ([], None)
    theirs, ours = map(dump, paths)
    assert (ours["schema"], ours["notes"]) == (theirs["schema"], [(1,)])


def test_own_tables_in_a_session_file(path: Path, worker: FileWorker) -> None:
    """Some callers keep tables of their own in a session file. They are kept."""
    SQLiteSession(str(path)).close()
    write(path, "create table notes (x); insert into notes values (1); create view seen as select * from notes")
    before = dump(path)
    (report,) = worker.run(path)
    assert (report.errors, report.refused) == ([], None)
    after = dump(path)
    assert (after["schema"], after["notes"]) == (before["schema"], [(1,)])


VERSIONS = [None, "", "seven", "7", "8", 7.5, 8.5, b"", b"\x07", 10**18, -(2**63), 2**63 - 1]


@pytest.mark.parametrize(
    "values", [*([value] for value in VERSIONS), [7, 8], [8, 99], [99, 8], [None, 8], []], ids=repr
)
@pytest.mark.parametrize("old", [FILES[0], FILES[-2]], ids=lambda path: path.stem)
def test_an_invalid_version(old: Path, values: list[Any], path: Path, worker: FileWorker) -> None:
    shutil.copyfile(old, path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("drop table version")
        file.execute("create table version (version)")
        file.executemany("insert into version values (?)", [(value,) for value in values])
    (report,) = worker.run(path)
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    if not all(isinstance(value, int) and 1 <= value <= 8 for value in values[:1]) or not values:
        assert report.refused


def create_socket(path: Path) -> None:
    # A socket's path must be short, so it is created by a relative one.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


NOT_REGULAR_FILES = {
    "directory": Path.mkdir,
    "pipe": os.mkfifo if hasattr(os, "mkfifo") else None,
    "socket": create_socket,
    "link to /dev/null": lambda path: path.symlink_to("/dev/null"),
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to a directory": lambda path: path.symlink_to("/"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link into a missing directory": lambda path: path.symlink_to("nowhere/anna.session"),
}


@pytest.mark.skipif(NOT_REGULAR_FILES["pipe"] is None, reason="Windows has no such files")
@pytest.mark.parametrize("create", NOT_REGULAR_FILES.values(), ids=NOT_REGULAR_FILES)
def test_not_a_regular_file(create: Callable[[Path], None], path: Path, worker: FileWorker) -> None:
    """The error names the file's type or the system's error: `disk I/O error` would suggest a
    broken disk.
    """
    create(path)
    cause = r"(?i)folder|directory|regular|special|device|pipe|socket|no file|symbolic link"
    assert re.search(cause, refusal(path, worker, is_regular=False))


@pytest.fixture(scope="module")
def unprivileged() -> Iterator[FileWorker]:
    """A worker that runs as a user for whom file modes apply, unlike root."""
    with fast_folder() as folder:
        user = NOBODY if os.getuid() == 0 else None
        if user:
            os.chown(folder, user, user)
        with FileWorker(folder, user) as worker:
            yield worker


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
def test_an_unreadable_file(unprivileged: FileWorker) -> None:
    path = unprivileged.new_path()
    shutil.copyfile(FILES[0], path)
    path.chmod(0)
    assert re.search(r"(?i)permission", refusal(path, unprivileged, is_regular=False))
    path.chmod(0o666)
    assert path.read_bytes() == FILES[0].read_bytes()
    (report,) = unprivileged.run(path)
    assert (report.errors, report.refused) == ([], None)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
@pytest.mark.parametrize("old", FILES, ids=lambda path: path.stem)
def test_a_read_only_file(old: Path, unprivileged: FileWorker) -> None:
    """A file that needs no upgrade can be read. The others are refused."""
    path = unprivileged.new_path()
    shutil.copyfile(old, path)
    path.chmod(0o444)
    (report,) = unprivileged.run(path, is_regular=False)
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    failed_steps = {"open"} if version_of(old) < CURRENT_VERSION else {"save", "close"}
    assert {step for step, *_ in report.errors} == failed_steps
    assert all("readonly" in text for _, _, text in report.errors)
    assert path.read_bytes() == old.read_bytes()

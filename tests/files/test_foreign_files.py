"""What has a session's name and is none: refused with words that say so, and left as it is."""

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

from support.counters import tried
from support.file_client import Lives, fast_folder
from support.file_worker import KEY
from support.files import dump
from support.real_files import FILES, version_of
from support.unprivileged import NOBODY


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with fast_folder() as folder, Lives(folder) as lives:
        yield lives


@pytest.fixture
def path(lives: Lives) -> Path:
    return lives.new_path()


def refusal(path: Path, lives: Lives, **options: Any) -> str:
    """What is said of a file that must be refused, without its name."""
    (life,) = lives.of(path, **options)
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    assert life.refused, life
    return life.refused.replace(str(path), "")


def write(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("anna.session", FILES[-1].read_bytes())
    return packed.getvalue()


NO_DATABASES = {
    "a text": b"not a session\n" * 100,
    "two bytes": b"SQ",
    "a magic word": b"SQLite format 3\0",
    "a header": FILES[-1].read_bytes()[:100],
    "junk after the magic word": b"SQLite format 3\0" + b"\xff" * 4080,
    "zeros": bytes(8192),
    "encrypted": random.Random(1).randbytes(8192),
    "a zip": zipped(),
}


@pytest.mark.parametrize("content", NO_DATABASES.values(), ids=NO_DATABASES)
def test_what_is_no_database(content: bytes, path: Path, lives: Lives) -> None:
    path.write_bytes(content)
    assert re.search(r"not a database|malformed|no session", refusal(path, lives))


def test_an_empty_file_is_a_new_session(path: Path, lives: Lives) -> None:
    path.touch()
    path.chmod(0o640)
    (life,) = lives.of(path)
    assert (life.errors, life.refused) == ([], None)
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
def test_a_pyrogram_session(number: int, path: Path, lives: Lives) -> None:
    write(path, PYROGRAM.format(number=number))
    assert re.search(r"no (Telethon )?session|Pyrogram", refusal(path, lives))


# With one of our tables, but without `version`, or with another `version` than ours.
OTHERS = {
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


@pytest.mark.parametrize("script", OTHERS.values(), ids=OTHERS)
def test_a_database_of_another_program_with_our_names(script: str, path: Path, lives: Lives) -> None:
    write(path, script)
    assert refusal(path, lives)


def test_a_database_of_another_program(lives: Lives) -> None:
    """Telethon's tables are added to it, as by Telethon."""
    paths = [lives.new_path(), lives.new_path()]
    for path in paths:
        write(path, "create table notes (x); insert into notes values (1); create view seen as select * from notes")
    SQLiteSession(str(paths[0])).close()
    (life,) = lives.of(paths[1])
    assert (life.errors, life.refused) == ([], None)
    theirs, ours = map(dump, paths)
    assert (ours["schema"], ours["notes"]) == (theirs["schema"], [(1,)])


def test_tables_of_ones_own_in_a_session(path: Path, lives: Lives) -> None:
    """There are users who keep some there: they stay."""
    SQLiteSession(str(path)).close()
    write(path, "create table notes (x); insert into notes values (1); create view seen as select * from notes")
    before = dump(path)
    (life,) = lives.of(path)
    assert (life.errors, life.refused) == ([], None)
    after = dump(path)
    assert (after["schema"], after["notes"]) == (before["schema"], [(1,)])


VERSIONS = [None, "", "seven", "7", "8", 7.5, 8.5, b"", b"\x07", 10**18, -(2**63), 2**63 - 1]


@pytest.mark.parametrize("values", [*[[one] for one in VERSIONS], [7, 8], [8, 99], [99, 8], [None, 8], []], ids=repr)
@pytest.mark.parametrize("old", [FILES[0], FILES[-2]], ids=lambda path: path.stem)
def test_a_strange_version(old: Path, values: list[Any], path: Path, lives: Lives) -> None:
    shutil.copyfile(old, path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("drop table version")
        file.execute("create table version (version)")
        file.executemany("insert into version values (?)", [(value,) for value in values])
    (life,) = lives.of(path)
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    if not all(isinstance(value, int) and 1 <= value <= 8 for value in values[:1]) or not values:
        assert life.refused


def make_socket(path: Path) -> None:
    # A socket's name may not be long.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


NO_FILES = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo if hasattr(os, "mkfifo") else None,
    "a socket": make_socket,
    "a link to nothing": lambda path: path.symlink_to("/dev/null"),
    "a link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path: path.symlink_to("/"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link into no folder": lambda path: path.symlink_to("nowhere/anna.session"),
}


@pytest.mark.skipif(NO_FILES["a pipe"] is None, reason="such things are POSIX's")
@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file(make: Callable[[Path], None], path: Path, lives: Lives) -> None:
    """What it is, or what the system says of it, is said: `disk I/O error` would send its owner to buy a disk."""
    make(path)
    cause = r"(?i)folder|directory|regular|special|device|pipe|socket|no file|symbolic link"
    assert re.search(cause, refusal(path, lives, is_regular=False))


@pytest.fixture(scope="module")
def unprivileged() -> Iterator[Lives]:
    """Of somebody to whom modes matter; they do not to root."""
    with fast_folder() as folder:
        user = NOBODY if os.getuid() == 0 else None
        if user:
            os.chown(folder, user, user)
        with Lives(folder, user) as lives:
            yield lives


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
def test_a_file_that_may_not_be_read(unprivileged: Lives) -> None:
    path = unprivileged.new_path()
    shutil.copyfile(FILES[0], path)
    path.chmod(0)
    assert re.search(r"(?i)permission", refusal(path, unprivileged, is_regular=False))
    path.chmod(0o666)
    assert path.read_bytes() == FILES[0].read_bytes()
    (life,) = unprivileged.of(path)
    assert (life.errors, life.refused) == ([], None)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
@pytest.mark.parametrize("old", FILES, ids=lambda path: path.stem)
def test_a_file_that_may_not_be_written(old: Path, unprivileged: Lives) -> None:
    """One that needs no upgrade can be read; the others are refused."""
    path = unprivileged.new_path()
    shutil.copyfile(old, path)
    path.chmod(0o444)
    (life,) = unprivileged.of(path, is_regular=False)
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    assert {step for step, *_ in life.errors} == ({"open"} if version_of(old) < CURRENT_VERSION else {"save", "close"})
    assert all("readonly" in text for _, _, text in life.errors)
    assert path.read_bytes() == old.read_bytes()

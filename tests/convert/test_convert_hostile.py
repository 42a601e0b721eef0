"""Files that are damaged or hostile: an error within seconds, without much memory, and nothing is written."""

from __future__ import annotations

import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from support.counters import tally
from support.libraries import PROGRAMS
from support.mutations import at_random, one_by_one
from support.real_files import FILES
from telethon_session_rust.foreign import database
from telethon_session_rust.foreign.files import read_file
from telethon_session_rust.foreign.session import ConversionError

pytestmark = [
    pytest.mark.any_release,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files"),
]

# Ends a hang.
TIMEOUT = 60
MEMORY = 100_000_000
HUGE = 100 * 2**30
ROWS = 3000

SESSIONS = """
create table sessions (dc_id integer primary key, server_address text, port integer, api_id integer, test_mode integer,
    auth_key blob, date integer not null, user_id integer, is_bot integer);
insert into sessions values (2, null, null, 1, 0, randomblob(256), 0, 1, 0);
"""
VERSION = "create table version (number integer primary key); insert into version values (7);"
PEERS = """
create table peers (id integer primary key, access_hash integer, type text, phone_number text, last_update_on integer);
"""
USERNAMES = "create table usernames (id integer, username text);"
STATES = "create table update_state (id integer primary key, pts integer, qts integer, date integer, seq integer);"
FILL = f"""
insert into peers select value, value, 'user', value, 1 from (
    with recursive n(value) as (select 1 union all select value + 1 from n limit {ROWS}) select value from n);
insert into usernames select id, 'name_' || id from peers;
insert into update_state values (0, 1, 1, 1, 1);
"""
SCHEMA = {"sessions": SESSIONS, "version": VERSION, "peers": PEERS, "usernames": USERNAMES, "update_state": STATES}
GRAMMERS = """
create table dc_home (dc_id integer not null, primary key (dc_id));
create table dc_option (dc_id integer not null, ipv4 text not null, ipv6 text not null, auth_key blob,
    primary key (dc_id));
create table peer_info (peer_id integer not null, hash integer, subtype integer, primary key (peer_id));
create table update_state (pts integer not null, qts integer not null, date integer not null, seq integer not null);
create table channel_state (peer_id integer not null, pts integer not null, primary key (peer_id));
insert into dc_option values (2, '149.154.167.51:443', '[::]:443', randomblob(256));
insert into peer_info select value, value, null from (
    with recursive n(value) as (select 1 union all select value + 1 from n limit 3000) select value from n);
insert into update_state values (1, 1, 1, 1);
"""
ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select "


def create(path: Path, *scripts: str) -> Path:
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma journal_mode = off")
        for script in scripts:
            file.executescript(script)
    return path


def pyrogram(path: Path, **replaced: str) -> Path:
    """Creates a file like Kurigram's, with other statements for some tables."""
    fill = () if replaced else (FILL,)
    return create(path, *(SCHEMA | replaced).values(), *fill)


def outcome(path: Path) -> str:
    """Reads a file in a process of its own. Returns what came out."""
    folder = path.parent
    before = listing(folder)
    command = [sys.executable, PROGRAMS / "read_file.py", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr[-2000:]
    result, grown = json.loads(done.stdout)
    assert grown < MEMORY
    assert listing(folder) == before
    tally("hostile files")
    return str(result)


def listing(folder: Path) -> list[tuple[Any, ...]]:
    found = [(path.name, path.lstat()) for path in folder.iterdir()]
    return sorted((name, status.st_size, status.st_mtime_ns, status.st_mode) for name, status in found)


def endless(*columns: str) -> str:
    return ENDLESS + ", ".join(f"x as {column}" for column in columns) + " from n;"


VIEWS = {
    "sessions": f"create view sessions as {endless('dc_id', 'auth_key')}",
    "version": f"create view version as {endless('number')}",
    "peers": f"create view peers as {endless('id', 'access_hash', 'type')}",
    "usernames": f"create view usernames as {endless('id', 'username')}",
    "update_state": f"create view update_state as {endless('id', 'pts', 'qts', 'date', 'seq')}",
}
# What is not in the login is not needed.
OPTIONAL = {"usernames", "update_state"}


@pytest.mark.parametrize("table", VIEWS)
def test_an_endless_view(table: str, folder: Path) -> None:
    expected = "a session" if table in OPTIONAL else f"error: its table {table} is not one of Pyrogram's"
    assert outcome(pyrogram(folder / "anna.session", **{table: VIEWS[table]})) == expected


@pytest.mark.parametrize("table", ["dc_home", "dc_option", "peer_info", "update_state", "channel_state"])
def test_an_endless_view_instead_of_a_table_of_grammers(table: str, folder: Path) -> None:
    columns = ["dc_id", "ipv4", "auth_key", "peer_id", "hash", "subtype", "pts", "qts", "date", "seq"]
    path = create(folder / "anna.session", GRAMMERS, f"drop table {table}; create view {table} as {endless(*columns)}")
    assert outcome(path) == f"error: its table {table} is not one of grammers'"


BOMB = "generated always as (hex(zeroblob(400000000)))"
NOT_TABLES = {
    "a virtual table": "create virtual table peers using fts5(id, access_hash, type);",
    "a circular view": "create view peers as select * from other; create view other as select * from peers;",
    "a view in a temporary table's place": "create view peers as select 1 as id, 2 as access_hash, 3 as type;",
    "generated columns": "create table peers (id integer primary key, type text); insert into peers values (1, 'user');"
    f"alter table peers add access_hash {BOMB};",
    "no key": "create table peers (id integer, access_hash integer, type text);",
    "a key that is not a number": "create table peers (id text primary key, access_hash integer, type text);",
    "no columns that are needed": "create table peers (id integer primary key);",
}


@pytest.mark.parametrize("statement", NOT_TABLES.values(), ids=NOT_TABLES)
def test_peers_that_are_something_else(statement: str, folder: Path) -> None:
    assert (
        outcome(pyrogram(folder / "anna.session", peers=statement)) == "error: its table peers is not one of Pyrogram's"
    )


def test_generated_usernames_are_not_computed(folder: Path) -> None:
    table = "create table usernames (id integer); insert into usernames values (1);"
    path = pyrogram(folder / "anna.session", usernames=f"{table} alter table usernames add username {BOMB};")
    assert outcome(path) == "a session"


SLOW_KEYS = {
    "an ordinary column": USERNAMES.replace("text", "text, rowid integer"),
    "a key with an index": PEERS.replace("primary key", "primary key desc"),
    "none": USERNAMES.replace("text", "text, another integer"),
}


@pytest.mark.parametrize("statement", SLOW_KEYS.values(), ids=SLOW_KEYS)
def test_a_key_by_which_rows_are_not_stored(statement: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limit for all batches, each would read the whole table."""
    monkeypatch.setattr(database, "_BATCH_ROWS", 10)
    path = pyrogram(folder / "anna.session", **{statement.split()[2]: statement})
    create(path, FILL.replace("usernames select id,", "usernames (rowid, id, username) select id, id,"))
    found = read_file(path, passcode=None, account=1)
    assert found
    if statement == SLOW_KEYS["none"]:
        assert len([*found.entities()]) == ROWS
    else:
        with pytest.raises(ConversionError, match="does not end"):
            deque(found.entities(), 0)


def test_triggers_and_indexes_of_others_do_nothing(folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    create(
        path,
        "create table notes (x); create index by_hash on peers (hex(access_hash)) where access_hash > 5;"
        "create trigger peek after update on peers begin insert into notes values (new.id); end;",
    )
    assert outcome(path) == "a session"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python cannot limit the length of values")
@pytest.mark.parametrize("column", ["auth_key", "server_address", "dc_id"])
def test_a_huge_value_in_the_login(column: str, folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    create(
        path,
        "create table s as select * from sessions; drop table sessions; create table sessions as select * from s;",
    )
    create(path, f"update sessions set {column} = zeroblob(200000000)")
    assert outcome(path) == "error: it is damaged: it has a value that is too long"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python cannot limit the length of values")
@pytest.mark.parametrize(
    "statement",
    [
        "insert into usernames values (1, cast(zeroblob(200000000) as text))",
        "update peers set phone_number = cast(zeroblob(200000000) as text) where id = 1",
    ],
)
def test_a_huge_name(statement: str, folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    create(path, statement)
    assert outcome(path) == "error: it is damaged: it has a value that is too long"


def test_a_schema_of_many_views(folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    create(
        path,
        "pragma writable_schema = on;"
        "insert into sqlite_master select 'view', 'v' || x, 'v' || x, 0, 'create view v' || x || ' as select 1'"
        "from (with recursive n(x) as (select 1 union all select x + 1 from n limit 100000) select x from n);",
    )
    assert outcome(path) == "error: it is damaged: reading it does not end"


def test_pages_in_a_circle(folder: Path) -> None:
    """All children of a page are one page, so that its rows are repeated; and pages that are their own parents."""
    path = pyrogram(folder / "anna.session")
    with closing(sqlite3.connect(path)) as file:
        (size,), (root,) = (
            file.execute(query).fetchone()
            for query in ("pragma page_size", "select rootpage from sqlite_master where name = 'peers'")
        )
    data = bytearray(path.read_bytes())
    start = (root - 1) * size
    assert data[start] == 5, "an interior page of a table"
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    cells = [int.from_bytes(data[at : at + 2], "big") for at in range(start + 12, start + 12 + 2 * count, 2)]
    first = data[start + cells[0] : start + cells[0] + 4]
    for child in (bytes(first), root.to_bytes(4, "big")):
        for cell in cells:
            data[start + cell : start + cell + 4] = child
        data[start + 8 : start + 12] = child
        path.write_bytes(data)
        assert outcome(path).startswith("error: it is damaged")


def make_socket(path: Path) -> None:
    os.chdir(path.parent)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path.name)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "it is a folder, but not Telegram Desktop's"),
    "pipe": (getattr(os, "mkfifo", None), "it is not a regular file"),
    "socket": (make_socket, "it is not a regular file"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    "null": (lambda path: path.symlink_to("/dev/null"), "it is not a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "no such file"),
    "nothing": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize(("make", "message"), SPECIAL.values(), ids=SPECIAL)
def test_not_a_file(make: Callable[[Path], object], message: str, folder: Path) -> None:
    make(folder / "anna.session")
    assert outcome(folder / "anna.session").startswith(f"error: {message}")


@pytest.mark.parametrize("name", ["key_datas", "D877F783D5D3EF8Cs"])
@pytest.mark.parametrize("make", ["folder", "pipe", "socket", "zeros"])
def test_not_a_file_in_tdata(make: str, name: str, folder: Path) -> None:
    SPECIAL[make][0](folder / name)
    (folder / "key_datas").touch()
    assert outcome(folder).startswith("error: key_datas ")


@pytest.mark.parametrize("start", [b"", b"TDF$", b"SQLite format 3\0", b"PK\3\4"])
def test_a_sparse_file(start: bytes, folder: Path) -> None:
    path = folder / "anna.session"
    path.write_bytes(start)
    os.truncate(path, HUGE)
    tdf = "error: it is a file of Telegram Desktop: give the folder tdata instead"
    assert outcome(path) == (tdf if start == b"TDF$" else "none of theirs")


def test_a_sparse_session(folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    os.truncate(path, HUGE)
    assert outcome(path) == "a session"
    with path.open("r+b") as file:
        file.seek(28)
        file.write(b"\x01\x90\0\0")
    assert outcome(path) == "a session"


def test_a_sparse_file_in_tdata(folder: Path) -> None:
    (folder / "key_datas").write_bytes(b"TDF$")
    os.truncate(folder / "key_datas", HUGE)
    assert outcome(folder) == "error: key_datas is damaged: it is larger than Telegram Desktop writes it"


def test_a_sparse_wal(folder: Path) -> None:
    path = pyrogram(folder / "anna.session")
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma journal_mode = wal")
    for suffix in ("-wal", "-journal"):
        (folder / f"anna.session{suffix}").touch()
        os.truncate(folder / f"anna.session{suffix}", HUGE)
    assert outcome(path).startswith("error: it is too large to be copied")


def test_telethons_own_files_are_none_of_theirs() -> None:
    for real in FILES:
        assert read_file(real, passcode=None, account=1) is None


@pytest.mark.slow
@pytest.mark.parametrize("is_grammers", [False, True])
def test_damaged_files(is_grammers: bool, folder: Path) -> None:
    """They are read, refused or left to others; and they and their folder do not change."""
    path = folder / "anna.session"
    create(path, GRAMMERS) if is_grammers else pyrogram(path)
    intact, choice = path.read_bytes(), random.Random(5)
    found = read_file(path, passcode=None, account=1)
    assert found is not None
    for data in [*one_by_one(intact), *(at_random(intact, choice) for _ in range(1000))]:
        path.write_bytes(data)
        with suppress(ConversionError):
            damaged = read_file(path, passcode=None, account=1)
            if damaged is not None:
                assert len(list(damaged.entities())) <= ROWS
                list(damaged.update_states())
        assert (path.read_bytes(), [*folder.iterdir()]) == (data, [path])
        tally("hostile files")

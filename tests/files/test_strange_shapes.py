"""Files whose tables are not quite Telethon's, as after somebody's script: used if they can be, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.altered_files import KEYS, SECOND, TABLES, changed, columns_of, loosened, rows_of
from support.counters import tried
from support.file_client import Lives
from support.file_worker import KEY

pytest_plugins = ["support.altered_file_fixtures"]

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


@pytest.mark.parametrize(("table", "column"), [column for column in COLUMNS if column != ("version", "version")])
def test_a_column_is_missing(table: str, column: str, path: Path, lives: Lives) -> None:
    changed(path, *loosened(table, [name for name in columns_of(table) if name != column]))
    (life,) = lives.of(path)
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    assert life.errors


@pytest.mark.parametrize("table", TABLES)
def test_a_column_more(table: str, path: Path, lives: Lives) -> None:
    """Somebody's own: Telethon can only read such a table, for its statements name no columns."""
    (life,) = lives.of(changed(path, f"alter table {table} add column remark text"), keys=KEYS)
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    assert life.errors == []
    assert life.found == [[SECOND] * len(KEYS)] * 2


@pytest.mark.parametrize("table", [table for table in TABLES if table != "version"])
def test_a_table_is_missing(table: str, path: Path, lives: Lives) -> None:
    (life,) = lives.of(changed(path, f"drop table {table}"))
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])
    assert any(table in text for _, _, text in life.errors)


@pytest.mark.parametrize("table", ["entities", "sent_files", "update_state"])
def test_rows_twice(table: str, path: Path, lives: Lives) -> None:
    changed(path, *loosened(table, TABLES[table]), f"insert into {table} select * from {table}")
    (life,) = lives.of(path, keys=KEYS)
    assert (life.faults, life.refused) == ([], None)
    assert life.found == [[SECOND] * len(KEYS)] * 2


def remade(columns: str, more: str = "") -> list[str]:
    return [
        f"create table other ({columns}) {more}",
        "insert into other (id, hash, username, phone, name, date) select * from entities",
        "drop table entities",
        "alter table other rename to entities",
    ]


ENTITIES = "id integer primary key, hash integer not null, username text, phone integer, name text, date integer"
HARMLESS = {
    "an index": ["create index by_name on entities (name, username collate nocase)"],
    "a view": ["create view names as select name from entities"],
    "a trigger": [
        "create table seen (id)",
        "create trigger note after insert on entities begin insert into seen values (new.id); end",
    ],
    "without rowid": remade(ENTITIES, "without rowid"),
    "another key": remade(ENTITIES.replace("username text", "username text unique")),
    "defaults": remade(ENTITIES.replace("text", "text default 'x'")),
    "a reference to nothing": remade(ENTITIES.replace("name text", "name text references nowhere (name)")),
}
HARMFUL = {
    "an index by an unknown collation": ["create index odd on entities (name collate odd)"],
    "an unknown collation": remade(ENTITIES.replace("username text", "username text collate odd")),
    "a generated column": ["alter table entities add column twice generated always as (id * 2) virtual"],
    "a generated name": remade(f"{ENTITIES}, twice generated always as (id * 2) stored"),
    "a check": remade(f"{ENTITIES}, check (hash is null)")[:1] + remade(ENTITIES)[2:],
    "a view for a table": [
        "alter table entities rename to people",
        "create view entities as select * from people",
    ],
    "a view for the logins": ["alter table sessions rename to logins", "create view sessions as select * from logins"],
    "another order": remade("id integer primary key, date, hash, phone, username, name"),
    "another order of the logins": loosened("sessions", columns_of("sessions")[::-1]),
    "a trigger that forbids": [
        "create trigger guard before insert on entities begin select raise(abort, 'nobody may come'); end"
    ],
    "a trigger that takes": ["create trigger thief after insert on entities begin delete from sessions; end"],
    "a trigger without end": [
        "create trigger loop after insert on entities begin "
        "insert into entities values (new.id + 1, 1, null, null, null, 1); end"
    ],
}


@pytest.mark.parametrize("statements", HARMLESS.values(), ids=HARMLESS)
def test_what_does_no_harm(statements: list[str], path: Path, lives: Lives) -> None:
    (life,) = lives.of(changed(path, *statements), keys=KEYS)
    tried("bad files")
    assert (life.errors, life.refused) == ([], None)
    assert life.found == [[SECOND] * len(KEYS)] * 2
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


def test_references_are_not_followed(path: Path, lives: Lives) -> None:
    """Nor are they by Python's SQLite, and so by Telethon: to receive somebody again is not to delete them."""
    changed(
        path,
        "create table notes (person integer references entities (id) on delete cascade)",
        "insert into notes select id from entities",
    )
    before = rows_of(path, "* from notes")
    (life,) = lives.of(path)
    assert (life.errors, life.refused) == ([], None)
    assert rows_of(path, "* from notes") == before


@pytest.mark.parametrize("statements", HARMFUL.values(), ids=HARMFUL)
def test_what_may_do_harm(statements: list[str], path: Path, lives: Lives) -> None:
    (life,) = lives.of(changed(path, *statements))
    tried("bad files")
    assert (life.faults, life.changed) == ([], [])

"""Files whose tables differ from Telethon's, as a script may leave them: they are used if possible,
or refused.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.altered_files import KEYS, SECOND, TABLES, changed, columns_of, loosened, rows_of
from support.counters import tally
from support.file_client import FileWorker
from support.file_worker import KEY

pytest_plugins = ["support.altered_file_fixtures"]

COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]


@pytest.mark.parametrize(("table", "column"), [column for column in COLUMNS if column != ("version", "version")])
def test_a_missing_column(table: str, column: str, path: Path, worker: FileWorker) -> None:
    changed(path, *loosened(table, [name for name in columns_of(table) if name != column]))
    (report,) = worker.run(path)
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    assert report.errors


@pytest.mark.parametrize("table", TABLES)
def test_an_additional_column(table: str, path: Path, worker: FileWorker) -> None:
    """A caller's own column. Telethon can only read such a table, because its statements name no
    columns.
    """
    (report,) = worker.run(changed(path, f"alter table {table} add column remark text"), keys=KEYS)
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    assert report.errors == []
    assert report.found == [[SECOND] * len(KEYS)] * 2


@pytest.mark.parametrize("table", [table for table in TABLES if table != "version"])
def test_a_missing_table(table: str, path: Path, worker: FileWorker) -> None:
    (report,) = worker.run(changed(path, f"drop table {table}"))
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])
    assert any(table in text for _, _, text in report.errors)


@pytest.mark.parametrize("table", ["entities", "sent_files", "update_state"])
def test_duplicate_rows(table: str, path: Path, worker: FileWorker) -> None:
    changed(path, *loosened(table, TABLES[table]), f"insert into {table} select * from {table}")
    (report,) = worker.run(path, keys=KEYS)
    assert (report.faults, report.refused) == ([], None)
    assert report.found == [[SECOND] * len(KEYS)] * 2


def recreate(columns: str, more: str = "") -> list[str]:
    return [
        f"create table other ({columns}) {more}",
        "insert into other (id, hash, username, phone, name, date) select * from entities",
        "drop table entities",
        "alter table other rename to entities",
    ]


ENTITIES = "id integer primary key, hash integer not null, username text, phone integer, name text, date integer"
HARMLESS = {
    "index": ["create index by_name on entities (name, username collate nocase)"],
    "view": ["create view names as select name from entities"],
    "trigger": [
        "create table seen (id)",
        "create trigger note after insert on entities begin insert into seen values (new.id); end",
    ],
    "without rowid": recreate(ENTITIES, "without rowid"),
    "another unique column": recreate(ENTITIES.replace("username text", "username text unique")),
    "defaults": recreate(ENTITIES.replace("text", "text default 'x'")),
    "dangling foreign key": recreate(ENTITIES.replace("name text", "name text references nowhere (name)")),
}
HARMFUL = {
    "index with an unknown collation": ["create index odd on entities (name collate odd)"],
    "column with an unknown collation": recreate(ENTITIES.replace("username text", "username text collate odd")),
    "virtual generated column": ["alter table entities add column twice generated always as (id * 2) virtual"],
    "stored generated column": recreate(f"{ENTITIES}, twice generated always as (id * 2) stored"),
    "check constraint": recreate(f"{ENTITIES}, check (hash is null)")[:1] + recreate(ENTITIES)[2:],
    "view in place of entities": [
        "alter table entities rename to people",
        "create view entities as select * from people",
    ],
    "view in place of sessions": [
        "alter table sessions rename to logins",
        "create view sessions as select * from logins",
    ],
    "columns of entities in another order": recreate("id integer primary key, date, hash, phone, username, name"),
    "columns of sessions in another order": loosened("sessions", columns_of("sessions")[::-1]),
    "trigger that aborts": [
        "create trigger guard before insert on entities begin select raise(abort, 'no inserts'); end"
    ],
    "trigger that deletes the login": ["create trigger thief after insert on entities begin delete from sessions; end"],
    "recursive trigger": [
        "create trigger loop after insert on entities begin "
        "insert into entities values (new.id + 1, 1, null, null, null, 1); end"
    ],
}


@pytest.mark.parametrize("statements", HARMLESS.values(), ids=HARMLESS)
def test_harmless_changes(statements: list[str], path: Path, worker: FileWorker) -> None:
    (report,) = worker.run(changed(path, *statements), keys=KEYS)
    tally("malformed files")
    assert (report.errors, report.refused) == ([], None)
    assert report.found == [[SECOND] * len(KEYS)] * 2
    assert rows_of(path, "auth_key from sessions") == [(KEY.key,)]


def test_foreign_keys_are_not_enforced(path: Path, worker: FileWorker) -> None:
    """Nor does Python's SQLite enforce them, so Telethon does not either: replacing a row deletes
    no others.
    """
    changed(
        path,
        "create table notes (person integer references entities (id) on delete cascade)",
        "insert into notes select id from entities",
    )
    before = rows_of(path, "* from notes")
    (report,) = worker.run(path)
    assert (report.errors, report.refused) == ([], None)
    assert rows_of(path, "* from notes") == before


@pytest.mark.parametrize("statements", HARMFUL.values(), ids=HARMFUL)
def test_harmful_changes(statements: list[str], path: Path, worker: FileWorker) -> None:
    (report,) = worker.run(changed(path, *statements))
    tally("malformed files")
    assert (report.faults, report.changed) == ([], [])

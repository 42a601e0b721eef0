"""What can be read of a damaged file, put into a new one."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from . import files, schema
from .pages import Pages
from .printing import progress
from .reading import SessionFile
from .trouble import Trouble
from .values import KEY_SIZE, MENDED, MENDERS, Login, Mended, Row, is_text, mend_login
from .writing import Writing

_KEY_COLUMN = 3
_TABLES = ("sessions", *MENDERS)
# So many rows are put at a time.
_BATCH = 1000


@dataclass
class Salvage:
    """What came of it."""

    into: Writing
    # As far as it is known.
    version: int | None = None
    login: Login | None = None
    # What was wrong with the login.
    login_faults: list[str] = field(default_factory=list)
    # Values that are wrong, by what is wrong with them.
    dropped: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    # Where rows were looked for page by page. Those that are lost are told in `lost`.
    damage: list[str] = field(default_factory=list)
    # Tables of which there may be more on pages that SQLite does not find.
    unsure: set[str] = field(default_factory=set)
    # Is told of every batch of rows.
    done: Callable[[int], None] = lambda count: None

    # What was not in the file and is known all the same.
    added: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything of the old file is in the new one."""
        return not (self.lost or self.login_faults or self.dropped.keys() - {MENDED})

    @property
    def lost_the_key(self) -> bool:
        """Whether there is none, though the file may have had one."""
        return self.login is None or (not self.login.auth_key and bool(self.login_faults))

    def take(self, table: str, rows: Iterable[Row]) -> None:
        """Puts rows, without what is wrong in them."""
        mend, batch = MENDERS[table], []
        if table == "entities" and self.version is not None and self.version <= schema.WRONG_HASHES:
            mend = _forget
        try:
            for row in rows:
                mended, faults = mend(row)
                self.dropped.update(faults)
                if mended is not None:
                    batch.append(mended)
                if len(batch) == _BATCH:
                    self.into.put(table, batch)
                    self.done(len(batch))
                    batch = []
        finally:
            # What was read before an error too.
            self.into.put(table, batch)

    def take_login(self, row: Row) -> None:
        """The first that there is, or the first with a key."""
        login, faults = mend_login(row)
        if self.login is None or (login.auth_key and not self.login.auth_key):
            self.login, self.login_faults = login, faults


def _forget(row: Row) -> Mended:
    return None, [f"entities of a database version up to {schema.WRONG_HASHES}, whose access hashes may be wrong"]


def salvage(copy: Path, into: Writing) -> Salvage:
    """Reads a copy of the damaged file and its journal, which is changed: what a journal has is put back first."""
    result = Salvage(into)
    # What a journal puts back is whole.
    rest = b"" if files.has_journal(copy) or files.has_wal(copy) else _cut_to_whole_pages(copy)
    _read_tables(copy, result)
    if rest:
        result.unsure.update(_TABLES)
    if result.unsure:
        _read_pages(Pages(copy.read_bytes() + rest), result)
    # A new session has an empty login.
    found = result.login or Login()
    login = found.with_address()
    if login != found:
        result.login = login
        result.added.append(f"the address of data centre {login.dc_id}")
    into.put_login(login)
    return result


def _cut_to_whole_pages(copy: Path) -> bytes:
    """Answers what is cut off. SQLite would read it with zeros for what is missing of a page, and so half of a row."""
    data = copy.read_bytes()
    length = len(data) // (size := Pages(data).size) * size or len(data)
    os.truncate(copy, length)
    return data[length:]


def _read_tables(copy: Path, result: Salvage) -> None:
    """By SQLite, each table as far as it comes."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        try:
            file = SessionFile(copy, connection)
            is_sound = file.value("pragma integrity_check(1)") == "ok"
            told = file.find_version()
            result.version = max(told, schema.least(file.tables)) if isinstance(told, int) else None
        except Trouble:
            result.unsure.update(_TABLES)
            return
        _refuse_others(file, is_sound)
        _note_others(file, result)
        with progress("reading tables", _count(file)) as result.done:
            for table in _TABLES:
                try:
                    _read_table(file, table, result)
                except Trouble:
                    is_sound = False
                    result.damage.append(f"SQLite cannot read the table {table} to its end")
        if not is_sound:
            result.unsure.update(_TABLES)


def _note_others(file: SessionFile, result: Salvage) -> None:
    """Tables and columns of the user's own are not taken over."""
    newest = schema.newest()
    for table, columns in file.tables.items():
        if table not in newest:
            if not table.startswith("sqlite_"):
                result.lost.append(f"the table {table}, which is not Telethon's")
            continue
        known = {column.name for column in newest[table]}
        # Sent files of version 2 were kept in other columns, and for a day.
        if table != "sent_files":
            result.lost.extend(
                f"the column {column.name} of the table {table}, which is not Telethon's"
                for column in columns
                if column.name not in known
            )


def _count(file: SessionFile) -> int | None:
    """How many rows there are, if that can be told."""
    try:
        return sum(file.count(table) for table in MENDERS)
    except Trouble:
        return None


def _refuse_others(file: SessionFile, is_sound: bool) -> None:
    sessions = [column.name for column in file.tables.get("sessions", [])]
    is_empty = is_sound and not file.tables.keys() & {"sessions", *MENDERS}
    if is_empty or (sessions and not {"server_address", "auth_key"} & set(sessions)):
        raise Trouble("it is a database, but no session of Telethon's")


def _read_table(file: SessionFile, table: str, result: Salvage) -> None:
    found = {column.name for column in file.tables.get(table, [])}
    oldest = next(tables[table] for version in count(1) if table in (tables := schema.wanted(version)))
    if not {column.name for column in oldest} <= found:
        # What the file's version does not have is not lost.
        if result.version is None or table in schema.wanted(result.version):
            result.lost.append(f"the table {table} is missing, or columns of it")
            result.unsure.add(table)
        return
    wanted = schema.wanted(result.version).get(table, []) if result.version else []
    result.lost.extend(
        f"the column {column.name} of the table {table}, which is missing"
        for column in wanted
        if column.name not in found
    )
    if table == "sessions":
        for row in file.stream(table):
            result.take_login(row)
        if result.login is None:
            # Every session has one, be it empty.
            result.unsure.add(table)
    else:
        result.take(table, file.stream(table))


def _read_pages(pages: Pages, result: Salvage) -> None:
    """Page by page, the tables of which SQLite may not have read all."""
    before, result.done = result.dropped.copy(), lambda count: None
    found: dict[str, list[Row]] = {table: [] for table in MENDERS}
    with progress("reading pages", pages.count) as done:
        for values in pages.rows(done):
            table = table_of(values)
            if table not in result.unsure:
                continue
            row = (*values, *[None] * (len(schema.newest()[table]) - len(values)))
            if table == "sessions":
                result.take_login(row)
                continue
            found[table].append(row)
            if len(found[table]) == _BATCH:
                result.take(table, found[table])
                found[table] = []
    for table, rows in found.items():
        result.take(table, rows)
    if not (result.login and result.login.auth_key):
        # Where the page itself is broken, the row may not be.
        for values in pages.with_blobs_of(KEY_SIZE, _KEY_COLUMN):
            if table_of(values) == "sessions":
                result.take_login((*values, None, None)[:6])
    # Most of these rows were read before.
    result.dropped = before or result.dropped
    for what, number in {
        "pages that are missing at the end of the file": pages.missing,
        "pages that cannot be read": pages.unreadable,
        "rows that cannot be read": pages.broken_rows,
    }.items():
        if number:
            result.lost.append(f"{what}: {number:,}")


def table_of(values: list[Any]) -> str | None:
    """Whose row it is. No two tables have values that fit both."""

    def fits(*kinds: tuple[type, ...]) -> bool:
        return len(values) >= len(kinds) and all(
            type(value) in kind for value, kind in zip(values, kinds, strict=False)
        )

    number, none = (int,), type(None)
    if len(values) == 5 and fits((bytes,), number, number, number, number):
        return "sent_files"
    if len(values) == 5 and fits(number, number, number, (int, float), number):
        return "update_state"
    if len(values) in (4, 5, 6) and fits(number, (str,), (int, none), (bytes, none)):
        return "sessions" if not mend_login(tuple([*values, None, None][:6]))[1] else None
    if len(values) in (5, 6) and fits(number, number, (str, none), (int, float, str, none), (str, none)):
        return "entities" if all(is_text(value) for value in values[2:5:2] if value is not None) else None
    return None

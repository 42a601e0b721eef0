"""Copies what can be read from a damaged file into a new one."""

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
from .errors import CommandError
from .output import progress
from .pages import Pages
from .reader import SessionReader
from .rows import AUTH_KEY_SIZE, ENCRYPTED_KEY_SIZE, Credentials, Row, is_valid_text
from .sanitize import SANITIZERS, UPPERCASE_USERNAMES, Sanitized, sanitize_credentials
from .writer import SessionWriter

_AUTH_KEY_COLUMN = 3
_TABLES = ("sessions", *SANITIZERS)
_BATCH_ROWS = 1000


@dataclass
class Salvage:
    """The state and the result of a salvage. The descriptions in it contain no values of the file."""

    target: SessionWriter
    # The database version, if it is known.
    version: int | None = None
    credentials: Credentials | None = None
    credential_faults: list[str] = field(default_factory=list)
    # How many values were dropped or corrected, by fault.
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    # Damage because of which rows were searched page by page. What could not be found is in `lost`.
    damage: list[str] = field(default_factory=list)
    # Tables that may have more rows on pages that SQLite does not find.
    incomplete: set[str] = field(default_factory=set)
    # What was missing in the file but is known.
    filled_in: list[str] = field(default_factory=list)
    # Called with the number of rows inserted.
    advance: Callable[[int], None] = lambda count: None

    @property
    def is_complete(self) -> bool:
        """`True` if the new file has everything that was in the old one."""
        return not (self.lost or self.credential_faults or self.faults.keys() - {UPPERCASE_USERNAMES})

    @property
    def lost_auth_key(self) -> bool:
        """`True` if there is no auth key, but the old file may have had one."""
        return self.credentials is None or (not self.credentials.auth_key and bool(self.credential_faults))

    def add_rows(self, table: str, rows: Iterable[Row]) -> None:
        """Inserts rows, without values that cannot be used."""
        sanitize, batch = SANITIZERS[table], []
        if table == "entities" and self.version is not None and self.version <= schema.LAST_WITH_WRONG_HASHES:
            sanitize = _drop_entity
        try:
            for row in rows:
                sanitized, faults = sanitize(row)
                self.faults.update(faults)
                if sanitized is not None:
                    batch.append(sanitized)
                if len(batch) == _BATCH_ROWS:
                    self.target.insert(table, batch)
                    self.advance(len(batch))
                    batch = []
        finally:
            # Reading may fail halfway.
            self.target.insert(table, batch)

    def add_credentials(self, row: Row) -> None:
        """Keeps the first credentials that have an auth key, or the first of all if none has."""
        credentials, faults = sanitize_credentials(row)
        if self.credentials is None or (credentials.auth_key and not self.credentials.auth_key):
            self.credentials, self.credential_faults = credentials, faults


def _drop_entity(row: Row) -> Sanitized:
    version = schema.LAST_WITH_WRONG_HASHES
    return None, [f"entities of database version {version} or older, whose access hashes may be wrong"]


def salvage(copy: Path, target: SessionWriter) -> Salvage:
    """Copies what can be read.

    Args:
        copy: A copy of the damaged file, with a copy of its journal beside it. SQLite rolls the
            journal back.
        target: The new file.

    Raises:
        CommandError: The file is not a session.
    """
    result = Salvage(target)
    # A journal or a -wal file restores whole pages.
    remainder = b"" if files.has_hot_journal(copy) or files.has_wal(copy) else _truncate_to_whole_pages(copy)
    _read_tables(copy, result)
    if remainder:
        result.incomplete.update(_TABLES)
    if result.incomplete:
        _read_pages(Pages(copy.read_bytes() + remainder), result)
    # A session that is not logged in has an empty row.
    found = result.credentials or Credentials()
    credentials = found.with_address()
    if credentials != found:
        result.credentials = credentials
        result.filled_in.append(f"the address of data centre {credentials.dc_id}")
    target.replace_credentials(credentials)
    return result


def _truncate_to_whole_pages(copy: Path) -> bytes:
    """Truncates the file to whole pages and returns the rest.

    SQLite would fill an incomplete page with zeros, and so read truncated rows.
    """
    data = copy.read_bytes()
    length = len(data) // (size := Pages(data).size) * size or len(data)
    os.truncate(copy, length)
    return data[length:]


def _read_tables(copy: Path, result: Salvage) -> None:
    """Reads each table with SQLite, as far as it can be read."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        try:
            file = SessionReader(copy, connection)
            is_intact = file.value("pragma integrity_check(1)") == "ok"
            version = file.raw_version()
            result.version = max(version, schema.minimum_version(file.tables)) if isinstance(version, int) else None
        except CommandError:
            result.incomplete.update(_TABLES)
            return
        _require_session(file, is_intact)
        _report_foreign_objects(file, result)
        with progress("reading tables", _count_rows(file)) as result.advance:
            for table in _TABLES:
                try:
                    _read_table(file, table, result)
                except CommandError:
                    is_intact = False
                    result.damage.append(f"SQLite cannot read all of the table {table}")
        if not is_intact:
            result.incomplete.update(_TABLES)


def _report_foreign_objects(file: SessionReader, result: Salvage) -> None:
    """Reports tables and columns that are not Telethon's. They are not copied."""
    newest = schema.known_tables()
    for table, columns in file.tables.items():
        if table not in newest:
            # A session marks its entity file again.
            if not table.startswith("sqlite_") and table != schema.OWNER_TABLE:
                result.lost.append(f"the table {table}, which is not Telethon's")
            continue
        known = {column.name for column in newest[table]}
        # Version 2 stored sent files in other columns, and only for a day.
        if table != "sent_files":
            result.lost.extend(
                f"the column {column.name} of the table {table}, which is not Telethon's"
                for column in columns
                if column.name not in known
            )


def _count_rows(file: SessionReader) -> int | None:
    """Returns the number of rows; `None` if they cannot be counted."""
    try:
        return sum(file.count(table) for table in SANITIZERS)
    except CommandError:
        return None


def _require_session(file: SessionReader, is_intact: bool) -> None:
    sessions = [column.name for column in file.tables.get("sessions", [])]
    has_no_tables = is_intact and not file.tables.keys() & {"sessions", *SANITIZERS}
    if has_no_tables or (sessions and not {"server_address", "auth_key"} & set(sessions)):
        raise CommandError("it is a database, but not a Telethon session")


def _read_table(file: SessionReader, table: str, result: Salvage) -> None:
    if table == schema.USERNAMES:
        if file.has_usernames:
            result.add_rows(table, file.stream(table))
        return
    found = {column.name for column in file.tables.get(table, [])}
    oldest = next(tables[table] for version in count(1) if table in (tables := schema.expected_tables(version)))
    if not {column.name for column in oldest} <= found:
        # A table that the version of the file does not have is not lost.
        if result.version is None or table in schema.expected_tables(result.version):
            result.lost.append(f"the table {table} is missing, or some of its columns are")
            result.incomplete.add(table)
        return
    expected = schema.expected_tables(result.version).get(table, []) if result.version else []
    result.lost.extend(
        f"the column {column.name} of the table {table}, which is missing"
        for column in expected
        if column.name not in found
    )
    if table == "sessions":
        for row in file.stream(table):
            result.add_credentials(row)
        if result.credentials is None:
            # Every session has a row, even if it is not logged in.
            result.incomplete.add(table)
    else:
        result.add_rows(table, file.stream(table))


def _read_pages(pages: Pages, result: Salvage) -> None:
    """Reads the incomplete tables page by page."""
    faults_before, result.advance = result.faults.copy(), lambda count: None
    batches: dict[str, list[Row]] = {table: [] for table in SANITIZERS}
    with progress("reading pages", pages.count) as advance:
        for values in pages.rows(advance):
            table = guess_table(values)
            if table not in result.incomplete:
                continue
            row = (*values, *[None] * (len(schema.known_tables()[table]) - len(values)))
            if table == "sessions":
                result.add_credentials(row)
                continue
            batches[table].append(row)
            if len(batches[table]) == _BATCH_ROWS:
                result.add_rows(table, batches[table])
                batches[table] = []
    for table, rows in batches.items():
        result.add_rows(table, rows)
    if not (result.credentials and result.credentials.auth_key):
        # The row may be intact although its page is not.
        for size in (AUTH_KEY_SIZE, ENCRYPTED_KEY_SIZE):
            for values in pages.rows_with_blob(size, _AUTH_KEY_COLUMN):
                if guess_table(values) == "sessions":
                    result.add_credentials((*values, None, None)[:6])
    # Most of these rows were read from the tables, so their faults are counted already.
    result.faults = faults_before or result.faults
    for what, number in {
        "pages that are missing at the end of the file": pages.missing,
        "pages that cannot be read": pages.unreadable,
        "rows that cannot be read": pages.damaged_rows,
    }.items():
        if number:
            result.lost.append(f"{what}: {number:,}")


def guess_table(values: list[Any]) -> str | None:
    """Returns the table that a row belongs to; `None` if its values fit none. No values fit two
    tables.
    """

    def fits(*types: tuple[type, ...]) -> bool:
        return len(values) >= len(types) and all(
            type(value) in allowed for value, allowed in zip(values, types, strict=False)
        )

    number, none = (int,), type(None)
    if len(values) == 5 and fits((str,), number, number, (str, none), number):
        return schema.USERNAMES
    if len(values) == 5 and fits((bytes,), number, number, number, number):
        return "sent_files"
    if len(values) == 5 and fits(number, number, number, (int, float), number):
        return "update_state"
    if len(values) in (4, 5, 6) and fits(number, (str,), (int, none), (bytes, none)):
        return "sessions" if not sanitize_credentials(tuple([*values, None, None][:6]))[1] else None
    if len(values) in (5, 6) and fits(number, number, (str, none), (int, float, str, none), (str, none)):
        return "entities" if all(is_valid_text(value) for value in values[2:5:2] if value is not None) else None
    return None

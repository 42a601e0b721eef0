"""Session files read without a change to them. Who uses one meanwhile waits for a page of it at most."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from telethon.tl.types import PeerChannel
from telethon.utils import get_peer_id

from . import files, schema
from .schema import Column, Tables
from .trouble import Held, Trouble
from .values import Login, Row, mend_login

# For somebody else's write, in seconds.
PATIENCE = 5.0
PAGE = 5000

HEADER = 100
# Channels have this marked id, and all below it.
FIRST_CHANNEL: int = get_peer_id(PeerChannel(1))

# What a damaged file raises. SQLite's own words may hold a piece of it that is no text, and it may tell any length.
FAULTS = (sqlite3.Error, UnicodeDecodeError, MemoryError)


class SessionFile:
    """A session file that is open for reading. Each answer is a transaction of its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        connection.text_factory = text
        self.select("pragma trusted_schema = off")
        self.tables: Tables = schema.tables_of(self.select(schema.SELECT))

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows. SQLite's errors become words."""
        try:
            return self._connection.execute(statement, values).fetchall()
        except FAULTS as error:
            raise explained(self.path, error) from error

    def value(self, statement: str) -> Any:
        """The first value of the first row."""
        return next((row[0] for row in self.select(statement)), None)

    def find_version(self) -> Any:
        """What stands in the place of the database version, whatever it is."""
        return self.value("select version from version") if "version" in self._columns_of("version") else None

    @property
    def version(self) -> int:
        """The database version. A file that is no session, or too new, is refused."""
        version = self.find_version()
        if type(version) is int and 1 <= version <= schema.NEWEST:
            return version
        if type(version) is int and version > schema.NEWEST:
            raise Trouble(
                f"{self.path} has database version {version}; the newest that is known here is {schema.NEWEST}:"
                " upgrade telethon-session-rust"
            )
        what = f"{self.path} is a database, but no session of Telethon's: it does not tell its database version"
        is_session = {"server_address", "auth_key"} <= set(self._columns_of("sessions"))
        raise Trouble(f"{what}; {repair_hint(self.path)} to save what is in it" if is_session else what)

    def login(self) -> Login | None:
        """What can be used of the login; `None` if the file has no row for it."""
        rows = self.logins()
        return mend_login(rows[0])[0] if rows else None

    def logins(self) -> list[Row]:
        """Of several Telethon takes the first."""
        return self.rows("sessions")

    def rows(self, table: str) -> list[Row]:
        """All of a table, with the columns that the newest version has, `None` where this one has none."""
        return self.select(self.statement(table)) if table in self.tables else []

    def stream(self, table: str) -> Iterator[Row]:
        """The rows of a table up to where it is damaged; for a file that nobody else uses."""
        try:
            # Where pages are told twice there may be rows without end, but a sound file has less of them than bytes.
            yield from islice(self._connection.execute(self.statement(table)), self.path.stat().st_size)
        except FAULTS as error:
            raise explained(self.path, error) from error

    def count(self, table: str) -> int:
        return int(self.value(f"select count(*) from {table}")) if table in self.tables else 0

    def entities(self) -> Iterator[list[Row]]:
        """All of them, a page at a time."""
        if [column.name for column in self.tables.get("entities", []) if column.key] != ["id"]:
            yield self.rows("entities")
            return
        select = self.statement("entities")
        page, before = self.select(f"{select} order by id limit {PAGE}"), None
        while page:
            last = page[-1][0]
            if type(last) is not int or (before is not None and last <= before):
                # One could go on reading for ever.
                raise Trouble(f"{self.path} is damaged (its entities are not in order): {repair_hint(self.path)}")
            yield page
            page, before = self.select(f"{select} where id > ? order by id limit {PAGE}", [last]), last

    def find_entities(self, condition: str, values: Sequence[Any]) -> list[Row]:
        return self.select(f"{self.statement('entities')} where {condition} order by id", values)

    def counts(self) -> dict[str, int]:
        """How many entities there are of each kind, and with each kind of name; and when they were seen."""
        counted = {
            "entities": "count(*)",
            "own_account": "count(case when id = 0 then 1 end)",
            "users": "count(case when id > 0 then 1 end)",
            "groups": f"count(case when id < 0 and id > {FIRST_CHANNEL} then 1 end)",
            "channels": f"count(case when id <= {FIRST_CHANNEL} then 1 end)",
            "with_username": "count(username)",
            "with_phone": "count(phone)",
            "with_name": "count(name)",
            "newest": "max(case when typeof(date) = 'integer' then date end)",
            "oldest": "min(case when typeof(date) = 'integer' then date end)",
        }
        (row,) = self.select(f"select {', '.join(counted.values())} from ({self.statement('entities')})")
        return dict(zip(counted, row, strict=True))

    def own_id(self) -> int | None:
        """The id of the account, which Telethon's client keeps as the access hash of entity 0."""
        found = self.find_entities("id = 0", []) if "entities" in self.tables else []
        return next((row[1] for row in found if type(row[1]) is int), None)

    def statement(self, table: str) -> str:
        """Selects all of a table, with the columns of the newest version."""
        found = self._columns_of(table)
        columns = [column.name for column in schema.newest()[table]]
        return f"select {', '.join(name if name in found else f'null as {name}' for name in columns)} from {table}"

    def copy_to(self, path: Path) -> None:
        """Copies the whole file, with what is in its -wal file."""
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._connection.backup(copy)
        except FAULTS as error:
            raise explained(self.path, error) from error

    def _columns_of(self, table: str) -> list[str]:
        columns: list[Column] = self.tables.get(table, [])
        return [column.name for column in columns]


@contextmanager
def reading(path: Path, patience: float | None = None) -> Iterator[SessionFile]:
    """Opens a file for reading only."""
    if not header(path):
        raise Trouble(f"{path} is empty")
    with connected(path, patience) as connection:
        yield SessionFile(path, connection)


@contextmanager
def connected(path: Path, patience: float | None = None) -> Iterator[sqlite3.Connection]:
    """SQLite on a file that it is not to change."""
    name = quote(os.fsencode(path.absolute().as_posix()), safe="/:")
    uri = f"file://{'' if name.startswith('/') else '/'}{name}?mode=ro"
    if is_in_wal_mode(path) and not files.has_wal(path):
        # SQLite would make files beside it and leave them there. All that there is is in this one.
        uri += "&immutable=1"
    try:
        timeout = PATIENCE if patience is None else patience
        connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    with closing(connection):
        yield connection


def is_in_wal_mode(path: Path) -> bool:
    return header(path)[19:20] == b"\2"


def header(path: Path) -> bytes:
    files.require(path)
    with path.open("rb") as file:
        return file.read(HEADER)


def text(data: bytes) -> str:
    """What is not UTF-8 can be told afterwards."""
    return data.decode(errors="surrogateescape")


def explained(path: Path, error: Exception) -> Trouble:
    """What SQLite says, and what to do."""
    said = str(error)
    if "locked" in said:
        others = ", ".join(files.holders(path)) or "a program that is writing to it, or was stopped meanwhile"
        return Held(f"{path} is held by {others}: try again, or end that program")
    if "readonly" in said and files.has_journal(path):
        journal = beside_name(path, "-journal")
        return Trouble(
            f"{path}: a program ended in the middle of a write, and {journal} has what was there before: start the"
            f" program again, or {repair_hint(path)}"
        )
    if isinstance(error, MemoryError):
        return Trouble(f"{path} is damaged, or takes more memory than there is: {repair_hint(path)}")
    if isinstance(error, UnicodeDecodeError):
        return Trouble(f"{path} is damaged in the description of its tables: {repair_hint(path)}")
    if "not a database" in said:
        return Trouble(f"{path} is no session file: {said}")
    if "malformed" in said or "corrupt" in said:
        return Trouble(f"{path} is damaged ({said}): {repair_hint(path)}")
    if "unable to open" in said and files.has_wal(path):
        wal = beside_name(path, "-wal")
        return Trouble(
            f"{path} cannot be read here without what is in {wal}: copy both to a folder that can be written"
        )
    return Trouble(f"{path}: {said}")


def repair_hint(path: Path) -> str:
    return f"use `{files.advice('repair', path)}`"


def beside_name(path: Path, side: str) -> str:
    return files.beside(path, side).name

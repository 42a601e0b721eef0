"""Reads a SQLite database of another program, which may be damaged or hostile.

Only tables are read, without views, triggers, virtual tables or generated columns. What a statement
may do and how many rows, how long a value and how large a schema may be is limited, so that no file
keeps a program busy or fills its memory.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import _database_file as database_file
from .session import ConversionError

MAGIC = b"SQLite format 3\0"
# How many seconds to wait for a lock.
_BUSY_TIMEOUT = 5.0
_BATCH_ROWS = 5000
# Keys have 256 bytes, and names and statements of the schema are shorter than this.
_MAX_LENGTH = 20_000
# How many instructions SQLite may execute for one statement, or for all batches of a table: enough
# for a schema of a thousand tables, and for the other tables more, the larger the file is. A row
# takes at least 8 bytes and less than 100 instructions.
_SCHEMA_INSTRUCTIONS = 30_000
_INSTRUCTIONS_PER_BYTE = 12
_MAX_COMPRESSION = 16
_CHECK_EVERY = 1000
# A copy needs space. The largest sessions have millions of people in less than this.
_MAX_COPY = 2**30
_FUNCTIONS = {"count", "typeof"}
# SQLite may quote bytes that are not text, and a damaged length may ask for any amount of memory.
_ERRORS = (sqlite3.Error, UnicodeDecodeError, MemoryError)


class UnreadableDatabase(ConversionError):
    """SQLite does not accept a file as a database."""


class Database:
    """A database that is open for reading. Each statement is a transaction of its own, so that a
    program that writes to it waits for one batch of rows at most.

    Attributes:
        names: The names of all tables, views and indexes.
    """

    def __init__(self, connection: sqlite3.Connection, size: int) -> None:
        self._connection = connection
        self._limit = _SCHEMA_INSTRUCTIONS
        self._executed = 0
        connection.text_factory = _decode
        connection.set_progress_handler(self._check, _CHECK_EVERY)
        if sys.version_info >= (3, 11):
            for kind in (sqlite3.SQLITE_LIMIT_LENGTH, sqlite3.SQLITE_LIMIT_SQL_LENGTH):
                connection.setlimit(kind, _MAX_LENGTH)
        self.select("pragma trusted_schema = off")
        objects = self.select("select lower(name), type, substr(coalesce(sql, ''), 1, 100) from sqlite_master")
        self._limit += size * _INSTRUCTIONS_PER_BYTE
        self.names: set[str] = {name for name, _, _ in objects}
        self._tables: set[str] = {
            name
            for name, kind, sql in objects
            if kind == "table" and not sql.lower().lstrip().startswith("create virtual")
        }

    def columns(self, table: str) -> set[str]:
        """Returns the names of a table's columns, without generated ones; none if it is not a table."""
        if table not in self._tables:
            return set()
        return {name for (name,) in self.select("select lower(name) from pragma_table_info(?)", [table])}

    def has_integer_key(self, table: str, column: str) -> bool:
        """Returns `True` if a table's rows are stored in the order of a column of unique integers."""
        rows = self.select("select lower(name), lower(type) from pragma_table_info(?) where pk > 0", [table])
        return rows == [(column, "integer")]

    def forbid_all_but(self, tables: set[str]) -> None:
        """Allows no statement from now on but those that read these tables."""

        def authorize(action: int, name: str | None, second: str | None, _: str | None, within: str | None) -> int:
            is_allowed = within is None and (
                action == sqlite3.SQLITE_SELECT
                or (action == sqlite3.SQLITE_READ and name is not None and name.lower() in tables)
                or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
            )
            return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

        self._connection.set_authorizer(authorize)

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Returns the rows of a statement, which should have a limit.

        Raises:
            ConversionError: SQLite cannot read them, or they take too long.
        """
        self._executed = 0
        return self._continue(statement, values)

    def _continue(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Executes a statement that shares the limit of the one before."""
        try:
            return self._connection.execute(statement, values).fetchall()
        except _ERRORS as error:
            raise _translate(error) from error

    def value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Returns the first value of the first row; `None` if there is no row."""
        return next((row[0] for row in self.select(f"{statement} limit 1", values)), None)

    def batches(self, key: str, columns: str, table: str) -> Iterator[list[Any]]:
        """Yields all rows of a table, a batch at a time. Execute no other statement meanwhile.

        Args:
            key: An integer column by which the rows are stored. It becomes the first of the row.
            columns: The other columns.
            table: The table. Conditions may follow.

        Raises:
            ConversionError: SQLite cannot read them, they are not in order, or they take too long.
        """
        before = -(2**63)
        # In a hostile file, each batch may take as long as the whole table: because of a column
        # that is called rowid, or of a key that is not the row ID.
        self._executed = 0
        joint = "and" if " where " in table else "where"
        statement = f"select {key}, {columns} from {table} {joint} {key} > ? order by {key} limit {_BATCH_ROWS}"
        while batch := self._continue(statement, [before]):
            for key_value, *_ in batch:
                # Pages that refer to each other in a circle have no end.
                if type(key_value) is not int or key_value <= before:
                    raise ConversionError("it is damaged: its rows are not in order")
                before = key_value
            yield batch

    def _check(self) -> int:
        self._executed += _CHECK_EVERY
        return self._executed > self._limit


@contextmanager
def open_database(path: Path) -> Iterator[Database]:
    """Opens a database for reading. Neither it nor its folder changes.

    Raises:
        ConversionError: SQLite cannot read it.
    """
    header = read_start(path, database_file.HEADER_SIZE)
    has_wal = database_file.has_wal(path)
    # SQLite would create a -shm file, and restore what an interrupted write left, in the folder.
    if (has_wal and not database_file.sidecar(path, "-shm").exists()) or _is_interrupted(path, has_wal):
        with _copied(path) as copy, _connect(path, f"{database_file.file_uri(copy)}?mode=rw") as database:
            yield database
    else:
        with _connect(path, database_file.read_only_uri(path, header)) as database:
            yield database


def read_start(path: Path, size: int) -> bytes:
    """Returns the first bytes of a regular file.

    Raises:
        ConversionError: It is not a regular file, or cannot be read.
    """
    try:
        if not path.exists():
            raise ConversionError("no such file")
        if not path.is_file():
            raise ConversionError("it is a folder" if path.is_dir() else "it is not a regular file")
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from error


@contextmanager
def _connect(path: Path, uri: str) -> Iterator[Database]:
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)
    except sqlite3.Error as error:
        raise _translate(error) from error
    with closing(connection):
        yield Database(connection, _content_size(path) + _content_size(database_file.sidecar(path, "-wal")))


def _content_size(path: Path) -> int:
    """Returns how many bytes a file has at most, without the holes of a sparse file; 0 if there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0
    occupied = getattr(status, "st_blocks", sys.maxsize) * 512
    return min(status.st_size, occupied * _MAX_COMPRESSION)


def _is_interrupted(path: Path, has_wal: bool) -> bool:
    """Returns `True` if a program ended while it wrote, and left a journal that must be rolled back."""
    if has_wal or not database_file.has_hot_journal(path):
        return False
    header = read_start(path, database_file.HEADER_SIZE)
    with closing(sqlite3.connect(database_file.read_only_uri(path, header), uri=True, timeout=_BUSY_TIMEOUT)) as file:
        try:
            file.execute("select 1 from sqlite_master limit 1").fetchall()
        except sqlite3.Error as error:
            return "readonly" in str(error)
    return False


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """Copies a database with the files beside it to a folder that only this user can read."""
    real = path.resolve()
    with TemporaryDirectory(prefix="telethon-session-") as folder:
        try:
            names = [name for name in ("", "-wal", "-journal") if real.with_name(real.name + name).exists()]
            files = {real.with_name(real.name + name): Path(folder) / f"copy{name}" for name in names}
            if sum(file.stat().st_size for file in files) > _MAX_COPY:
                raise ConversionError("it is too large to be copied: start and end the program that uses it first")
            for file, copy in files.items():
                shutil.copyfile(file, copy)
        except OSError as error:
            raise ConversionError(error.strerror or str(error)) from error
        yield Path(folder) / "copy"


def _decode(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _translate(error: Exception) -> ConversionError:
    """Returns the error to report for one of `_ERRORS`."""
    message = str(error)
    if "interrupted" in message:
        return ConversionError("it is damaged: reading it does not end")
    if "locked" in message:
        return ConversionError("it is locked by another program: try again later, or end that program")
    if isinstance(error, MemoryError) or "too big" in message:
        return ConversionError("it is damaged: it has a value that is too long")
    if isinstance(error, UnicodeDecodeError):
        return UnreadableDatabase("it is damaged: its schema is not text")
    if "malformed" in message or "corrupt" in message or "not a database" in message:
        return UnreadableDatabase(f"it is damaged ({message})")
    return ConversionError(message)

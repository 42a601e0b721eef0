"""Reads session files without changing them.

A process that writes to the file waits for one statement of the reader at most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from telethon.tl.types import PeerChannel
from telethon.utils import get_peer_id

from .._core import decrypt_key, is_encrypted
from .._database_file import HEADER_SIZE as HEADER_SIZE
from .._database_file import is_wal_header, read_only_uri
from . import files, schema
from .encryption import Keys
from .errors import CommandError, FileLocked
from .files import repair_hint
from .places import Place
from .rows import Credentials, Row, decode_text
from .sanitize import sanitize_alias, sanitize_credentials
from .schema import Tables

# How many seconds to wait for a lock.
BUSY_TIMEOUT = 5.0
BATCH_ROWS = 5000

# The marked ID of the first channel. Those of other channels are lower.
FIRST_CHANNEL_ID: int = get_peer_id(PeerChannel(1))

# What reading a damaged file raises. SQLite's messages may quote bytes that are not text, and a
# damaged length may ask for any amount of memory.
READ_ERRORS = (sqlite3.Error, UnicodeDecodeError, MemoryError)


class SessionReader:
    """A session that is open for reading. Each statement is a transaction of its own.

    Attributes:
        place: The file, or what was copied to a database in memory.
        keys: The encryption keys.
        library: The name of the library whose session it is.
        notes: What the session of another library lacks, or what was left out.
    """

    library = "Telethon"
    notes: tuple[str, ...] = ()

    def __init__(self, place: Place | str, connection: sqlite3.Connection, keys: Keys = ()) -> None:
        self.place = place
        self.keys = keys
        self._connection = connection
        connection.text_factory = decode_text
        self.select("pragma trusted_schema = off")
        self.tables: Tables = schema.group_by_table(self.select(schema.SELECT_COLUMNS))

    @property
    def path(self) -> Path:
        """The file. Only for commands that read files alone."""
        assert isinstance(self.place, Path)
        return self.place

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Returns all rows.

        Raises:
            CommandError: SQLite cannot read them.
        """
        try:
            return self._connection.execute(statement, values).fetchall()
        except READ_ERRORS as error:
            raise translate_error(self.place, error) from error

    def value(self, statement: str) -> Any:
        """Returns the first value of the first row."""
        return next((row[0] for row in self.select(statement)), None)

    def raw_version(self) -> Any:
        """Returns the value stored as the database version, which may be anything."""
        return self.value("select version from version") if "version" in self._column_names("version") else None

    @property
    def version(self) -> int:
        """The database version.

        Raises:
            CommandError: The file is not a session, or its version is not supported.
        """
        version = self.raw_version()
        if type(version) is int and 1 <= version <= schema.NEWEST_VERSION:
            return version
        if type(version) is int and version > schema.NEWEST_VERSION:
            raise CommandError(
                f"{self.place} has database version {version}, and this release of telethon-session-rust supports at"
                f" most {schema.NEWEST_VERSION}: install a newer release"
            )
        if {"server_address", "auth_key"} <= set(self._column_names("sessions")):
            raise CommandError(
                f"{self.place} has no valid database version: {repair_hint(self.place)} to save its contents"
            )
        raise CommandError(f"{self.place} is a database, but not a Telethon session: it has no valid database version")

    def credentials(self) -> Credentials | None:
        """Returns the usable part of the credentials; `None` if the file has no row for them."""
        rows = self.credential_rows()
        return sanitize_credentials(rows[0])[0] if rows else None

    def credential_rows(self) -> list[Row]:
        """Returns the rows of the table `sessions`. Telethon uses the first. Keys are decrypted as far
        as possible.
        """
        return [tuple(self._decrypted(value) for value in row) for row in self.rows("sessions")]

    def _decrypted(self, value: Any) -> Any:
        if not (type(value) is bytes and is_encrypted(value) and self.keys):
            return value
        return decrypt_key(value, self.keys) or value

    @property
    def is_encrypted(self) -> bool | None:
        """Whether the login is encrypted; `None` if that is not known, as on a server."""
        if not isinstance(self.place, Path):
            return None
        return any(type(value) is bytes and is_encrypted(value) for row in self.rows("sessions")[:1] for value in row)

    def rows(self, table: str) -> list[Row]:
        """Returns a table with the columns of the newest version. Columns that the file lacks are
        `None`.
        """
        return self.select(self._select_all(table)) if self._has(table) else []

    def stream(self, table: str) -> Iterator[Row]:
        """Yields the rows of a table until it is damaged. Use only for a file that no other process
        uses.
        """
        try:
            # In a damaged file a cycle of pages may yield rows without end. An intact one has fewer
            # rows than bytes.
            yield from islice(self._connection.execute(self._select_all(table)), self.path.stat().st_size)
        except READ_ERRORS as error:
            raise translate_error(self.place, error) from error

    def count(self, table: str) -> int:
        return int(self.value(f"select count(*) from {table}")) if self._has(table) else 0

    @property
    def has_usernames(self) -> bool:
        """Whether there is the table of entities' other usernames, as this package creates it."""
        return self.tables.get(schema.USERNAMES) == schema.known_tables()[schema.USERNAMES]

    def _has(self, table: str) -> bool:
        return self.has_usernames if table == schema.USERNAMES else table in self.tables

    def aliases(self, condition: str = "true", values: Sequence[Any] = ()) -> dict[int, list[tuple[str, int]]]:
        """Returns the usernames of entities besides those in the table `entities`, each with the date
        when the entity was seen with it, by marked ID.

        Leaves out those of an entity that Telethon has seen later with another username.
        """
        found: dict[int, list[tuple[str, int]]] = {}
        if self.has_usernames and "entities" in self.tables:
            rows = self.select(
                f"select u.username, u.id, u.position, u.main, u.date from {schema.USERNAMES} u"
                f" join ({self._select_all('entities')}) e on e.id = u.id"
                f" where (u.date >= ifnull(e.date, 0) or u.main is e.username) and {condition}"
                " order by u.id, u.position",
                values,
            )
            for username, id, *_, date in (row for row, _ in map(sanitize_alias, rows) if row):
                found.setdefault(id, []).append((username, date))
        return found

    def entity_batches(self) -> Iterator[list[Row]]:
        """Yields all entities, a batch at a time."""
        if [column.name for column in self.tables.get("entities", []) if column.key] != ["id"]:
            yield self.rows("entities")
            return
        select = self._select_all("entities")
        batch, before = self.select(f"{select} order by id limit {BATCH_ROWS}"), None
        while batch:
            last = batch[-1][0]
            if type(last) is not int or (before is not None and last <= before):
                # Continuing from this ID might never end.
                raise CommandError(
                    f"{self.place} is damaged (its entities are not in order): {repair_hint(self.place)}"
                )
            yield batch
            batch, before = self.select(f"{select} where id > ? order by id limit {BATCH_ROWS}", [last]), last

    def find_entities(self, condition: str, values: Sequence[Any]) -> list[Row]:
        return self.select(f"{self._select_all('entities')} where {condition} order by id", values)

    def entity_counts(self) -> dict[str, int]:
        """Returns how many entities there are, by kind and by name, and the first and last date."""
        expressions = {
            "entities": "count(*)",
            "users": "count(case when id > 0 then 1 end)",
            "chats": f"count(case when id < 0 and id > {FIRST_CHANNEL_ID} then 1 end)",
            "channels": f"count(case when id <= {FIRST_CHANNEL_ID} then 1 end)",
            "with_username": "count(username)",
            "with_phone": "count(phone)",
            "with_name": "count(name)",
            "newest": "max(case when typeof(date) = 'integer' then date end)",
            "oldest": "min(case when typeof(date) = 'integer' then date end)",
        }
        (row,) = self.select(f"select {', '.join(expressions.values())} from ({self._select_all('entities')})")
        return dict(zip(expressions, row, strict=True))

    def account_id(self) -> int | None:
        """Returns the ID of the account, which Telethon's client stores as the access hash of
        entity 0.
        """
        found = self.find_entities("id = 0", []) if "entities" in self.tables else []
        return next((row[1] for row in found if type(row[1]) is int), None)

    @contextmanager
    def snapshot(self) -> Iterator[SessionReader]:
        """Opens a copy of the whole session in memory, which does not change and holds no lock.
        Yields the session itself if it is in memory.
        """
        if not self.value("select file from pragma_database_list where name = 'main'"):
            yield self
            return
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            # With the lock held, because a backup waits for it without end.
            self.select("begin")
            try:
                self.select("select count(*) from sqlite_master")
                self._connection.backup(copy)
            except READ_ERRORS as error:
                raise translate_error(self.place, error) from error
            finally:
                self.select("rollback")
            yield SessionReader(self.place, copy, self.keys)

    def copy_to(self, path: Path) -> None:
        """Copies the whole file, including the contents of its -wal file."""
        try:
            with closing(sqlite3.connect(path)) as copy:
                self._connection.backup(copy)
        except READ_ERRORS as error:
            raise translate_error(self.place, error) from error

    def _select_all(self, table: str) -> str:
        found = self._column_names(table)
        columns = [column.name for column in schema.known_tables()[table]]
        return f"select {', '.join(name if name in found else f'null as {name}' for name in columns)} from {table}"

    def _column_names(self, table: str) -> list[str]:
        return [column.name for column in self.tables.get(table, [])]


@contextmanager
def open_reader(path: Path, timeout: float | None = None, keys: Keys = ()) -> Iterator[SessionReader]:
    """Opens a file for reading only.

    Args:
        path: The file.
        timeout: How many seconds to wait for a lock, `BUSY_TIMEOUT` by default.
        keys: The encryption keys.

    Raises:
        CommandError: The file is empty, or SQLite cannot read it.
    """
    if not read_header(path):
        raise CommandError(f"{path} is empty")
    with connect_read_only(path, timeout) as connection:
        yield SessionReader(path, connection, keys)


@contextmanager
def connect_read_only(path: Path, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
    """Opens a connection that does not change the file or its folder."""
    uri = read_only_uri(path, read_header(path))
    try:
        timeout = BUSY_TIMEOUT if timeout is None else timeout
        connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    except sqlite3.Error as error:
        raise translate_error(path, error) from error
    with closing(connection):
        yield connection


def is_in_wal_mode(path: Path) -> bool:
    return is_wal_header(read_header(path))


def read_header(path: Path) -> bytes:
    files.require_file(path)
    with path.open("rb") as file:
        return file.read(HEADER_SIZE)


def translate_error(path: Place | str, error: Exception) -> CommandError:
    """Returns the error to report for one of `READ_ERRORS`."""
    message = str(error)
    if not isinstance(path, Path):
        return CommandError(f"{path}: {message or type(error).__name__}")
    if "locked" in message:
        others = ", ".join(files.processes_using(path)) or "another process"
        return FileLocked(f"{path} is locked by {others}: try again later, or end that process")
    if "readonly" in message and files.has_hot_journal(path):
        journal = files.sidecar(path, "-journal").name
        return CommandError(
            f"{path}: a process ended during a write and left {journal}, which has the previous contents: start the"
            f" program again, or {repair_hint(path)}"
        )
    if isinstance(error, MemoryError):
        return CommandError(f"{path} is damaged, or needs more memory than is available: {repair_hint(path)}")
    if isinstance(error, UnicodeDecodeError):
        return CommandError(f"{path} is damaged (its schema is not valid text): {repair_hint(path)}")
    if "not a database" in message:
        return CommandError(f"{path} is not a session file: {message}")
    if "malformed" in message or "corrupt" in message:
        return CommandError(f"{path} is damaged ({message}): {repair_hint(path)}")
    if "unable to open" in message and files.has_wal(path):
        wal = files.sidecar(path, "-wal").name
        return CommandError(
            f"{path} cannot be read without {wal}, and its folder is read-only: copy both to a folder that is writable"
        )
    return CommandError(f"{path}: {message}")

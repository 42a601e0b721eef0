"""The session that is kept in a `.session` file."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION, EXTENSION

from . import _connection
from ._core import SQLiteCore
from ._encryption import EncryptionKey
from ._exclusive import KeyHolder
from ._names import file_name
from ._timeout import DEFAULT_TIMEOUT
from .errors import SessionFileInUseError, SessionInUseError, SessionUnavailableError
from .stored import StoredSession

_LOG = logging.getLogger(__package__)


class RustSQLiteSession(SQLiteCore, StoredSession):
    """A session in a file, a drop-in replacement for `telethon.sessions.SQLiteSession` that uses
    the same file.

    The file gives access to the account: keep it secret. Only its owner may read a new one.

    Entities, update states and sent files are in memory at once, and in the file about a second
    later, written by a background thread. `save()` writes data centre, keys and takeout ID before
    it returns; outside a running event loop it writes everything. `close()`, the end of the program
    and the end of the last reference to the session write everything.

    `_conn` and `_cursor()`, which scripts and plugins know from Telethon's class, are a connection
    and a cursor of Python's own `sqlite3` on the file. The connection is opened on first use.
    """

    # Whether there is a file, the connection to it that was handed out, and its changes known so
    # far.
    _has_file: bool = False
    _handed_out: sqlite3.Connection | None = None
    _known_changes: int = 0
    # Whether an override of `_cursor` is running. It must find no connection, so that it makes its
    # own.
    _is_connecting: bool = False
    # Keeps the key locked, if the session is exclusive.
    _key_holder: KeyHolder | None = None
    _is_read_only: bool = False

    def __init__(
        self,
        session_id: str | os.PathLike[str] | None = None,
        store_tmp_auth_key_on_disk: bool = False,
        *,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        encryption_key: EncryptionKey | None = None,
        read_only: bool = False,
        max_entities: int | None = None,
    ) -> None:
        """Opens the session. Creates the file, or upgrades it to the installed Telethon's version,
        if necessary.

        Args:
            session_id: The name of the file, with or without `.session`. Without a name, the
                session is kept in memory.
            store_tmp_auth_key_on_disk: Whether to write the temporary key to the file too. The
                attribute of the same name can be changed later; it takes effect with the next
                change of the credentials.
            exclusive: Whether to exclude other sessions that ask for it too, in any program, until
                `close()` or the end of the program: sessions of this file, and of this user's those
                with the same key, in a copy of the file or in a `RustStringSession`. Telegram may
                revoke a key that is used from two places at once. Sessions that do not ask for it,
                such as Telethon's, are not excluded.
            timeout: How many seconds to wait for a file that another program holds, as in
                `sqlite3.connect`. Used by the constructor, by `save()` if the credentials have
                changed, by `_execute`, and by lookups outside a running event loop.
            encryption_key: A key of 32 bytes, such as `secrets.token_bytes(32)`, with which the login's
                keys are encrypted in the file: an attacker who reads the file cannot log in. Nothing
                else is encrypted. Of several keys the first one encrypts, and all of them decrypt: to
                change the key, give the new one and the old one until `save()` was called. It also
                encrypts a login that was stored without this option. The file may be renamed. Whatever
                reads it otherwise, such as `_conn`, `_execute` and Telethon's own session, finds the
                encrypted keys, and cannot log in with them.
            read_only: Whether to write nothing, neither to the file nor beside it. The file must
                exist; it and its folder may be read-only, and another program may write to it: its
                changes are found. It is locked only for moments, while it is read. What the session
                learns stays in memory. A changed login raises an error in `save()`.
            max_entities: How many entities may be in memory; `None` for all. If there are more, those
                that were seen the longest ago leave memory. They stay in the file and are looked up
                there,
                by an index in a file beside it, which is made in the background.

        Raises:
            SessionFileCorruptError: The file is not a session, or is damaged; or its login is
                encrypted, and `encryption_key` is missing or another one.
            SessionFileInUseError: Another session has opened the file with `exclusive=True`.
            SessionFileLockedError: Another program holds the file for longer than `timeout`.
            SessionFileUnavailableError: The file cannot be opened, created or read.
            SessionFileUpgradeError: The file is of an older version and cannot be upgraded.
            sqlite3.NotSupportedError: A subclass overrides `_cursor` with a connection that is not
                Python's `sqlite3` on that file. The session would not use it.
            ValueError: An encryption key does not have 32 bytes; `max_entities` is less than 1; or
                `read_only` without a file, or with `exclusive` or `max_entities`.
        """
        if read_only and exclusive:
            raise ValueError("read_only=True cannot be exclusive: it would have to lock the file")
        if read_only and not session_id:
            raise ValueError("read_only=True needs the name of a file that exists")
        if read_only and max_entities is not None:
            raise ValueError("read_only=True cannot have max_entities: what it learns is in memory alone")
        super().__init__(timeout, max_entities)
        self._is_read_only = bool(read_only)
        self._filename: str = ":memory:"
        self._handed_out = None
        self.store_tmp_auth_key_on_disk = store_tmp_auth_key_on_disk
        if session_id:
            self._filename = file_name(session_id)
        self._adopt(self._open_file(self._filename if session_id else None, bool(exclusive), encryption_key))
        if exclusive and self._has_file:
            self._key_holder = KeyHolder()
            try:
                self._hold_key()
            except BaseException:
                self.close()
                raise

    @property
    def filename(self) -> str:
        """The name of the file; `:memory:` without one. A new name takes effect at the next use
        after `close()`.
        """
        return self._filename

    @filename.setter
    def filename(self, value: str) -> None:
        self._filename = value
        if self._has_file and value != ":memory:":
            self._set_path(value)

    def save(self) -> None:
        """Writes data centre, keys and takeout ID. In a running event loop the rest is left to the
        background; outside one it is written too. Commits what was done through `_conn` first.

        Raises:
            SessionFileLockedError: The credentials have changed, and another program holds the file
                for longer than the session's `timeout` ("database is locked"). They stay in memory.
            SessionFileLostError: The file holds another login by now. Nothing is written.
            SessionFileUnavailableError: The file cannot be written, or the login has changed and
                the session is read-only. What is unsaved stays in memory.
        """
        if self._handed_out is not None:
            self._commit()
        super().save()

    async def flush(self) -> None:
        """Waits, without blocking the event loop, until everything so far is in the file. Commits
        what was done through `_conn` first, because nothing else could be written.

        A file that another program holds is waited for.

        Raises:
            SessionFileLostError: The file was deleted, moved or replaced.
            SessionFileUnavailableError: The file cannot be written. What is unsaved stays in memory
                and is retried.
        """
        if self._handed_out is not None:
            self._commit()
        await super().flush()

    def close(self) -> None:
        """Writes everything and closes the file, and the connection that was handed out. The next
        use of the session opens the file again.

        Raises:
            SessionFileUnsavedError: The file could not be written for 30 seconds, or for `timeout`
                if that is longer. The message says what is unsaved. `close()` can be called again.
        """
        if self._handed_out is not None:
            self._commit()
            self._let_go()
        super().close()
        if self._key_holder is not None:
            self._key_holder.release()

    def delete(self) -> bool:
        """Deletes the file.

        Returns:
            `True` if it is gone; `False` if it cannot be deleted, holds another login by now, or
            the session is read-only.
        """
        if self._handed_out is not None:
            with suppress(sqlite3.Error):
                self._handed_out.rollback()
            self._let_go()
        return super().delete()

    @property
    def _conn(self) -> Any:
        """A connection of Python's own `sqlite3` to the file, with everything written first; `None`
        after `close()` until the session is used again.

        What is done through it is committed by `save()` and `close()`, as in Telethon. Until then,
        nothing else is written to the file.
        """
        connection = self._usable()
        if connection is not None:
            self._write_first(connection)
            return connection
        if not self._has_file or self._is_connecting or self._is_closed():
            return None
        if type(self)._cursor is _OWN_CURSOR:
            return self._connect()
        self._cursor_of_subclass()
        return self._handed_out

    @_conn.setter
    def _conn(self, value: Any) -> None:
        if value is None or not self._has_file:
            self._handed_out = None
            return
        if not _connection.is_plainly_on(value, self._file()):
            raise self._not_supported("sets _conn to")
        self._require_writable()
        self._hand_out(value)

    def _cursor(self) -> Any:
        """Returns a cursor of `_conn`, which is opened if necessary."""
        connection = self._usable()
        if connection is None:
            connection = self._connect()
        else:
            self._write_first(connection)
        return connection.cursor()

    def _execute(self, stmt: str, *values: Any) -> tuple[Any, ...] | None:
        """Saves everything, executes a statement on the file, and returns its first row.

        While a transaction of `_conn` is open, the statement belongs to it.
        """
        connection = self._usable()
        if connection is None or not connection.in_transaction:
            return super()._execute(stmt, *values)
        cursor = connection.cursor()
        try:
            return cursor.execute(stmt, values).fetchone()  # type: ignore[no-any-return]
        finally:
            cursor.close()

    def _open_file(self, name: str | None, is_exclusive: bool, encryption_key: EncryptionKey | None) -> Any:
        """Opens the file. Checks that a subclass's own `_cursor` uses that file too, before a key
        of this session is written to it.
        """
        has_own_cursor = name is not None and type(self)._cursor is not _OWN_CURSOR
        if has_own_cursor:
            self._require_writable()
        was_there = has_own_cursor and Path(name or "").exists()
        try:
            credentials = self._open(
                name, CURRENT_VERSION, is_exclusive, self._timeout, encryption_key, self._is_read_only
            )
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            # It may be encrypted, as the subclass would have it.
            if has_own_cursor and "not a database" in str(error):
                raise self._not_supported("overrides _cursor() with", name) from error
            raise
        if name is not None:
            self._has_file = True
        if has_own_cursor:
            try:
                self._try_cursor_of_subclass()
            except BaseException:
                self._let_go()
                super().close()
                if not was_there:
                    super().delete()
                raise
        return credentials

    def _try_cursor_of_subclass(self) -> None:
        cursor = self._cursor_of_subclass()
        connection: Any = getattr(cursor, "connection", None)
        if not _connection.is_plainly_on(connection, self._file()):
            with suppress(Exception):
                connection.close()
            raise self._not_supported("overrides _cursor() with")
        # A subclass with a longer timeout wants the session to wait longer.
        self._wait_as_long_as(connection)
        cursor.close()
        if self._handed_out is connection:
            # Opened again when it is needed. Until then memory answers alone.
            self._let_go()

    def _cursor_of_subclass(self) -> Any:
        self._is_connecting = True
        try:
            return self._cursor()
        finally:
            self._is_connecting = False

    def _usable(self) -> sqlite3.Connection | None:
        """Returns the connection that was handed out, unless the caller has closed it."""
        connection = self._handed_out
        if connection is not None and not _connection.is_open(connection):
            self._let_go()
            return None
        if connection is not None:
            self._wait_as_long_as(connection)
        return connection

    def _write_first(self, connection: sqlite3.Connection) -> None:
        """Writes what the connection is to see, unless that connection itself may lock the file."""
        self._share(isinstance(connection, _connection.Connection) and not connection.in_transaction)

    def _connect(self) -> sqlite3.Connection:
        if not self._has_file:
            raise sqlite3.NotSupportedError(
                "a session without a file has no connection for Python's sqlite3: give the session a name, or use "
                "session._execute(statement, *values)"
            )
        self._require_writable()
        if not _connection.CAN_SHARE:
            raise sqlite3.NotSupportedError(
                f"{self._file()}: on this system Python's sqlite3 must not open a file that is open as a "
                f"{type(self).__name__}, because either would drop the other's locks; use "
                "session._execute(statement, *values), or sqlite3.connect in another process or after session.close()"
            )
        self._share(True)
        return self._hand_out(_connection.connect(self._file(), self._timeout))

    def _require_writable(self) -> None:
        if self._is_read_only:
            raise sqlite3.NotSupportedError(
                f"{self._filename} was opened with read_only=True, and a connection of Python's sqlite3 could write to "
                "it: use session._execute(statement, *values)"
            )

    def _hand_out(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        self._handed_out = connection
        self._known_changes = connection.total_changes
        self._wait_as_long_as(connection)
        _connection.note_sharing(self)
        self._share(False)
        return connection

    def _wait_as_long_as(self, connection: sqlite3.Connection) -> None:
        timeout = _connection.milliseconds(connection) / 1000
        if timeout > self._timeout:
            self._timeout = timeout
            self._set_timeout(timeout)

    def _commit(self) -> None:
        """Commits what was done through the connection that was handed out, and takes it over."""
        connection = self._usable()
        if connection is None:
            return
        connection.commit()
        changes = connection.total_changes
        if changes != self._known_changes:
            self._known_changes = changes
            self._take_over()

    def _let_go(self) -> None:
        connection, self._handed_out = self._handed_out, None
        if connection is not None:
            connection.close()
        self._end_sharing()

    def _update_session_table(self) -> None:
        if self._key_holder is not None:
            self._hold_key()
        super()._update_session_table()

    def _hold_key(self) -> None:
        """Locks the key too, because the file may have been copied. Best effort: the file is
        locked.
        """
        try:
            if self._key_holder is not None:
                self._key_holder.hold(self._stored_keys()[0])
        except SessionInUseError as error:
            raise SessionFileInUseError(f"{self._filename}: {error}", str(self._file()), error.pid) from None
        except SessionUnavailableError as error:
            _LOG.debug("%s: its key is not locked: %s", self._filename, error)

    def _own_file(self) -> Path | None:
        return self._file() if self._has_file else None

    def _not_supported(self, does: str, path: object = None) -> Exception:
        name = type(self).__name__
        return sqlite3.NotSupportedError(
            f"{name} {does} a connection that is not Python's sqlite3 on {path or self._file()}, and RustSQLiteSession "
            "reads and writes that file itself, unencrypted: derive the class from telethon.sessions.SQLiteSession, or "
            "from RustMemorySession as your own storage. To wait longer for locks, pass timeout=... instead"
        )

    @classmethod
    def list_sessions(cls) -> list[str]:
        """Returns the names, without `.session`, of the session files in the current folder."""
        return [path.stem for path in Path().iterdir() if path.name.endswith(EXTENSION)]


# Compared with a class's current attribute, because methods may also be replaced from outside.
_OWN_CURSOR = RustSQLiteSession._cursor

SQLiteSession.register(RustSQLiteSession)

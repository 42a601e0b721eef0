"""The session that is kept in a `.session` file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION, EXTENSION

from . import _connection
from ._connection import DEFAULT_TIMEOUT, checked_timeout
from ._core import SQLiteCore
from .memory import RustMemorySession


def file_name(session_id: str | os.PathLike[str]) -> str:
    """The name of a session's file, which may be given without its ending."""
    name = os.fspath(session_id)
    return name if name.endswith(EXTENSION) else name + EXTENSION


class RustSQLiteSession(SQLiteCore, RustMemorySession):
    """A session in a file, in the place of `telethon.sessions.SQLiteSession`, and the same file.

    Whoever has the file is logged in: never give it away. A new one is readable by its owner only.

    Entities, update states and sent files are in memory at once and on disk about a second later, written by a thread
    of its own. `save()` writes data centre, keys and takeout id before it returns; outside a running event loop it
    writes everything. `close()`, the end of the program and the end of the last reference to the session write
    everything.

    `_conn` and `_cursor()`, which scripts and plugins know of Telethon's class, are a connection and a cursor of
    Python's own `sqlite3` on the file, opened when they are asked for.
    """

    # Whether there is a file, the connection to it that was handed out, and how many changes of that are known.
    _has_file: bool = False
    _handed_out: sqlite3.Connection | None = None
    _known_changes: int = 0
    # Whether an override of `_cursor` is running, which must find no connection to make its own.
    _is_connecting: bool = False

    def __init__(
        self,
        session_id: str | os.PathLike[str] | None = None,
        store_tmp_auth_key_on_disk: bool = False,
        *,
        exclusive: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Opens the session, making the file or upgrading it to the installed Telethon's version if need be.

        `session_id` is the file's name, with or without `.session`; without a name nothing is kept but in memory.

        `exclusive` keeps out whoever else asks for it too, in this program or another, until `close()` or the end of
        the program, however it ends: Telegram may revoke a key that is used from two places at once. Who does not ask
        for it, such as Telethon's own session, is not kept out.

        `store_tmp_auth_key_on_disk` has the temporary key written to the file too. The attribute of that name may be
        set later; it counts from the next change of the login on.

        `timeout` is how many seconds a file that another program holds is waited for, as in `sqlite3.connect`: by the
        constructor, by `save()` if the login has changed, by `_execute`, and outside a running event loop by lookups.

        Raises `sqlite3.DatabaseError` (for a locked file its subclass `sqlite3.OperationalError`), naming the file, if
        it cannot be opened, and `SessionInUseError` if it is `exclusive` to another session. Raises
        `sqlite3.NotSupportedError` if a subclass overrides `_cursor` with a connection that is not Python's `sqlite3`
        on that file: the session would not use it.
        """
        super().__init__()
        self._timeout = checked_timeout(timeout)
        self._filename: str = ":memory:"
        self._handed_out = None
        self.save_entities = True
        self.store_tmp_auth_key_on_disk = store_tmp_auth_key_on_disk
        if session_id:
            self._filename = file_name(session_id)
        login = self._open_file(self._filename if session_id else None, bool(exclusive))
        if login is not None:
            self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key = login
            self._auth_key = AuthKey(data=key)
            self._tmp_auth_key = AuthKey(data=tmp_key)

    def clone(self, to_instance: Any = None) -> Any:
        """Answers `to_instance`, or a new session in memory, for a connection to another data centre."""
        cloned = super().clone(to_instance)
        cloned.save_entities = self.save_entities
        return cloned

    def set_dc(self, dc_id: int, server_address: str | None, port: int | None) -> None:
        """Says which data centre to connect to. The keys stay those that the file holds."""
        super().set_dc(dc_id, server_address, port)
        self._update_session_table()
        key, tmp_key = self._stored_keys()
        self._auth_key = AuthKey(data=key) if key else None
        self._tmp_auth_key = AuthKey(data=tmp_key) if tmp_key else None

    @property
    def auth_key(self) -> Any:
        """The `telethon.crypto.AuthKey` of the data centre, or `None`. Whoever has it is logged in."""
        return self._auth_key

    @auth_key.setter
    def auth_key(self, value: Any) -> None:
        self._auth_key = value
        self._update_session_table()

    @property
    def tmp_auth_key(self) -> Any:
        """The temporary `telethon.crypto.AuthKey`, or `None`; written to the file only if the session was told to."""
        return self._tmp_auth_key

    @tmp_auth_key.setter
    def tmp_auth_key(self, value: Any) -> None:
        self._tmp_auth_key = value
        self._update_session_table()

    @property
    def takeout_id(self) -> int | None:
        """The id of the takeout that is not finished, or `None`."""
        return self._takeout_id

    @takeout_id.setter
    def takeout_id(self, value: int | None) -> None:
        self._takeout_id = value
        self._update_session_table()

    @property
    def filename(self) -> str:
        """The name of the file; `:memory:` without one. Another name counts from the next use after `close()` on."""
        return self._filename

    @filename.setter
    def filename(self, value: str) -> None:
        self._filename = value
        if self._has_file and value != ":memory:":
            self._set_path(value)

    def save(self) -> None:
        """Writes data centre, keys and takeout id; in a running event loop it leaves the rest to the background,
        otherwise it writes that too. Commits what was done through `_conn` first.

        Raises `sqlite3.OperationalError` ("database is locked") if another program holds the file for longer than the
        session's `timeout` and there are keys to be written. Nothing is lost: they stay in memory. Raises it too,
        and writes nothing, if the file holds another login by now.
        """
        if self._handed_out is not None:
            self._commit()
        super().save()

    async def flush(self) -> None:
        """Waits, without holding up the event loop, until everything given so far is on disk. Commits what was done
        through `_conn` first, as nothing else could be written.

        Raises `sqlite3.OperationalError` if the file cannot be written; what is unsaved stays in memory and is tried
        again. A file that another program holds is waited for.
        """
        if self._handed_out is not None:
            self._commit()
        await super().flush()

    def close(self) -> None:
        """Writes everything and closes the file, and the connection that was handed out. A session that is used
        again opens it again.

        Raises `sqlite3.OperationalError`, saying what is unsaved, if the file cannot be written for 30 seconds, or
        for `timeout` if that is longer; `close()` can then be called again.
        """
        if self._handed_out is not None:
            self._commit()
            self._let_go()
        super().close()

    def delete(self) -> bool:
        """Removes the file; `False` if that is not possible, as when the file holds another login by now."""
        if self._handed_out is not None:
            with suppress(sqlite3.Error):
                self._handed_out.rollback()
            self._let_go()
        return super().delete()

    @property
    def _conn(self) -> Any:
        """A connection of Python's own `sqlite3` to the file, with everything written first; `None` after `close()`
        until the session is used again.

        What is done through it is committed by `save()` and `close()`, as in Telethon. Until then nothing else is
        written to the file.
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
        self._hand_out(value)

    def _cursor(self) -> Any:
        """A cursor of `_conn`, which is opened if it is not."""
        connection = self._usable()
        if connection is None:
            connection = self._connect()
        else:
            self._write_first(connection)
        return connection.cursor()

    def _execute(self, stmt: str, *values: Any) -> tuple[Any, ...] | None:
        """Saves everything, executes a statement on the file, and answers its first row.

        While a transaction of `_conn` is open the statement belongs to it.
        """
        connection = self._usable()
        if connection is None or not connection.in_transaction:
            return super()._execute(stmt, *values)
        cursor = connection.cursor()
        try:
            return cursor.execute(stmt, values).fetchone()  # type: ignore[no-any-return]
        finally:
            cursor.close()

    def _open_file(self, name: str | None, is_exclusive: bool) -> Any:
        """Opens the file, and sees to it that a subclass's own `_cursor` means that file too, before there is a key of
        this session in it.
        """
        has_own_cursor = name is not None and type(self)._cursor is not _OWN_CURSOR
        was_there = has_own_cursor and Path(name or "").exists()
        try:
            login = self._open(name, CURRENT_VERSION, is_exclusive, self._timeout)
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
        return login

    def _try_cursor_of_subclass(self) -> None:
        cursor = self._cursor_of_subclass()
        connection: Any = getattr(cursor, "connection", None)
        if not _connection.is_plainly_on(connection, self._file()):
            with suppress(Exception):
                connection.close()
            raise self._not_supported("overrides _cursor() with")
        # One that waits longer is there to make the session wait longer.
        self._wait_as_long_as(connection)
        cursor.close()
        if self._handed_out is connection:
            # Opened again when it is needed: until then memory answers alone.
            self._let_go()

    def _cursor_of_subclass(self) -> Any:
        self._is_connecting = True
        try:
            return self._cursor()
        finally:
            self._is_connecting = False

    def _usable(self) -> sqlite3.Connection | None:
        """The connection that was handed out, unless the caller has closed it."""
        connection = self._handed_out
        if connection is not None and not _connection.is_open(connection):
            self._let_go()
            return None
        if connection is not None:
            self._wait_as_long_as(connection)
        return connection

    def _write_first(self, connection: sqlite3.Connection) -> None:
        """Writes what the connection is to see, unless it may be that connection itself that locks the file."""
        self._share(isinstance(connection, _connection.Connection) and not connection.in_transaction)

    def _connect(self) -> sqlite3.Connection:
        if not self._has_file:
            raise sqlite3.NotSupportedError(
                "a session without a file has no connection for Python's sqlite3: give the session a name, or use "
                "session._execute(statement, *values)"
            )
        if not _connection.CAN_SHARE:
            raise sqlite3.NotSupportedError(
                f"{self._file()}: on this system Python's sqlite3 must not open a file that is open as a "
                f"{type(self).__name__}, because either would drop the other's locks; use "
                "session._execute(statement, *values), or sqlite3.connect in another process or after session.close()"
            )
        self._share(True)
        return self._hand_out(_connection.connect(self._file(), self._timeout))

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

    def _not_supported(self, does: str, path: object = None) -> Exception:
        name = type(self).__name__
        return sqlite3.NotSupportedError(
            f"{name} {does} a connection that is not Python's sqlite3 on {path or self._file()}, and RustSQLiteSession "
            "reads and writes that file itself, unencrypted: derive the class from telethon.sessions.SQLiteSession, or "
            "from RustMemorySession as a storage of your own. To wait longer for locks, pass timeout=... instead"
        )

    @classmethod
    def list_sessions(cls) -> list[str]:
        """The names, without `.session`, of the session files in the current folder."""
        return [path.stem for path in Path().iterdir() if path.name.endswith(EXTENSION)]

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(f"a {type(self).__name__} cannot be copied: open its file again, or use a string session")

    def _is_stored(self) -> bool:
        """Whether the entities are stored; also before the file is opened, as a subclass may set `_entities` then."""
        return True

    def _update_session_table(self) -> None:
        """Takes over the attributes that stand for the table `sessions`; the next `save()` writes them."""
        key, tmp_key = self._stored_keys()
        self._set_credentials(self._dc_id, self._server_address, self._port, key, self._takeout_id, tmp_key)

    def _stored_keys(self) -> tuple[bytes, bytes]:
        key = self._auth_key.key if self._auth_key else b""
        tmp_key = self._tmp_auth_key.key if self.store_tmp_auth_key_on_disk and self._tmp_auth_key else b""
        return key, tmp_key


# What is compared with is a class's own at the moment, as methods are also replaced from outside.
_OWN_CURSOR = RustSQLiteSession._cursor

SQLiteSession.register(RustSQLiteSession)

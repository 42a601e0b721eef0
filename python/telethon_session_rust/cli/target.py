"""Writes rows to a session, wherever it is."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from telethon.sessions.memory import _SentFileType
from telethon.tl.types import InputDocument, InputPhoto, updates

from ..errors import SessionError
from ..remote import RemoteSession
from . import files
from .encryption import Keys
from .errors import CommandError
from .places import Place, Remote
from .remote import entity_batches, flush, is_empty, open_remote, set_credentials
from .rows import OLDEST_DATE, Credentials, Row
from .writer import open_writer

_FILE_CLASSES = {_SentFileType.DOCUMENT.value: InputDocument, _SentFileType.PHOTO.value: InputPhoto}


class Writer(Protocol):
    """What `open_target` yields: a `SessionWriter` or a `RemoteWriter`."""

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Inserts entities or sent files. An entity replaces an older copy of itself. A sent file never
        replaces one.
        """

    def insert_aliases(self, rows: Sequence[Row]) -> None:
        """Inserts the other usernames of entities that were inserted: what `with_aliases` returns."""

    def replace_update_states(self, rows: Sequence[Row]) -> None:
        """Inserts update states. They replace those with their IDs."""

    def replace_credentials(self, credentials: Credentials) -> None:
        """Replaces the login."""

    def clear_duplicate_usernames(self) -> None:
        """Leaves each username to the entity seen last."""

    def count(self, table: str) -> int:
        """Returns the number of entities or sent files."""
        ...


class RemoteWriter:
    """A session on a server that is open for writing. Each call returns when the server has what it
    writes.
    """

    def __init__(self, place: Remote, session: RemoteSession) -> None:
        self._place = place
        self._session = session

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        if table == "entities":
            # Without a date, an entity would count as seen now.
            self._session._put_rows((*row[:5], row[5] or OLDEST_DATE) for row in rows)
        else:
            known = {row[:3] for row in self._session._sent_files()}
            for digest, size, kind, id, access_hash in rows:
                if (digest, size, kind) not in known:
                    self._session.cache_file(digest, size, _FILE_CLASSES[kind](id, access_hash, b""))
        flush(self._place, self._session)

    def insert_aliases(self, rows: Sequence[Row]) -> None:
        named = ((*row[:5], row[5] or OLDEST_DATE, tuple(alias for alias, _ in row[6])) for row in rows)
        self._session._put_rows(named)
        flush(self._place, self._session)

    def replace_update_states(self, rows: Sequence[Row]) -> None:
        for id, pts, qts, date, seq in rows:
            when = datetime.fromtimestamp(date, timezone.utc)
            self._session.set_update_state(id, updates.State(pts, qts, when, seq, unread_count=0))
        flush(self._place, self._session)

    def replace_credentials(self, credentials: Credentials) -> None:
        set_credentials(self._session, credentials)
        self._session.save()

    def clear_duplicate_usernames(self) -> None:
        """Does nothing: the session does so whenever a username is looked up."""

    def count(self, table: str) -> int:
        is_of_entities = table == "entities"
        return sum(map(len, entity_batches(self._session))) if is_of_entities else len(self._session._sent_files())


def open_target(
    place: Place, keys: Keys = (), *, is_replaced: bool = False, gets_login: bool = False
) -> AbstractContextManager[Writer]:
    """Opens a session for writing. Creates it if it does not exist.

    What was written is saved when the block ends. If it raises, a file stays as it was, and a
    session on a server is deleted if it is new. One that is replaced was deleted before.

    Args:
        place: The file, or the session on a server.
        keys: The encryption keys.
        is_replaced: Whether to remove everything that it contains.
        gets_login: Whether a login is written, so that only the owner of a file may read it.

    Raises:
        CommandError: It cannot be written.
        SessionError: The server cannot be reached, or the session is in use.
    """
    if isinstance(place, Path):
        return _open_file(place, keys, is_replaced, gets_login)
    return _open_remote(place, keys, is_replaced)


@contextmanager
def _open_file(path: Path, keys: Keys, is_replaced: bool, gets_login: bool) -> Iterator[Writer]:
    is_new = not path.exists()
    if gets_login and not is_new:
        _make_private(path)
    try:
        with open_writer(path, keys) as writer:
            if is_replaced:
                writer.clear()
            yield writer
    except BaseException:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def _make_private(path: Path) -> None:
    """Leaves a file, and SQLite's files beside it, readable to its owner only.

    Raises:
        CommandError: It belongs to another user.
    """
    for file in (path, *(files.sidecar(path, suffix) for suffix in files.SIDECAR_SUFFIXES)):
        try:
            file.chmod(file.stat().st_mode & stat.S_IRWXU)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise CommandError(
                f"{path} belongs to another user, so that its login would not be secret: choose another name"
            ) from error


@contextmanager
def _open_remote(place: Remote, keys: Keys, is_replaced: bool) -> Iterator[Writer]:
    if is_replaced:
        with open_remote(place, keys, exclusive=True) as session:
            if not session.delete():
                raise CommandError(f"{place} cannot be replaced: another program has changed its login")
    with open_remote(place, keys, exclusive=True) as session:
        is_new = is_empty(session)
        try:
            yield RemoteWriter(place, session)
        except BaseException:
            if is_new:
                with suppress(SessionError):
                    session.delete()
            raise

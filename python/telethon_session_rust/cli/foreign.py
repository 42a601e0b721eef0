"""Sessions of any library as sources: files and folders, recognized by their content, and strings."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ..entity import Entity
from ..foreign.files import read_file
from ..foreign.session import ConversionError, ForeignSession
from . import files
from .encryption import Keys
from .errors import CommandError
from .places import existing_place
from .reader import SessionReader
from .rows import Credentials, Row
from .source import open_rows, open_source

# How messages name a string.
STRING = "the string"


def open_any(
    text: str,
    password_file: str | None = None,
    keys: Keys = (),
    *,
    passcode: str | None = None,
    account: int = 1,
    is_login_enough: bool = False,
    reads_environment: bool = True,
) -> AbstractContextManager[SessionReader]:
    """Opens the session at a URL, in a file or in a folder, of whatever library.

    Args:
        text: The URL, or the name of the file or folder.
        password_file: The file with the password of the server.
        keys: The encryption keys.
        passcode: The local passcode of Telegram Desktop.
        account: Which account of several, from 1.
        is_login_enough: As for `open_source`.
        reads_environment: Whether the password of a server is read from the environment.

    Raises:
        CommandError: There is no such session, or it cannot be read.
        SessionError: The server cannot be reached.
    """
    if not files.is_url(text):
        path = _existing_path(text)
        try:
            found = read_file(path, passcode=passcode, account=account)
        except ConversionError as error:
            raise CommandError(f"{path}: {error}") from error
        if found is not None:
            return open_foreign(path, found)
    if account != 1:
        raise CommandError(f"there is no account {account}: only the folder of Telegram Desktop has several")
    found_place = existing_place(text, password_file, reads_environment=reads_environment)
    return open_source(found_place, keys, is_login_enough=is_login_enough)


def _existing_path(text: str) -> Path:
    """Returns the path of a file, whose name may lack `.session`, or of a folder."""
    path = Path(text)
    if files.session_path(text).exists() or not path.exists():
        return files.existing_session_path(text)
    if not path.is_dir():
        files.require_file(path)
    return path


@contextmanager
def open_foreign(place: Path | str, session: ForeignSession) -> Iterator[SessionReader]:
    """Opens a session that was read, with the account as Telethon stores it.

    Raises:
        CommandError: Its entities cannot be read.
    """
    credentials = Credentials(session.dc_id, session.server_address, session.port, session.auth_key)
    try:
        opened = open_rows(place, credentials, _rows(session), session.usernames(), session.update_states())
        with opened as source:
            source.library, source.notes = session.library, session.notes
            yield source
    except (ConversionError, OverflowError) as error:
        raise CommandError(f"{place}: {error}") from error


def _rows(session: ForeignSession) -> Iterator[Row]:
    yield from map(_row, session.entities())
    if session.user_id is not None:
        yield account_row(session.user_id)


def _row(entity: Entity) -> Row:
    return (entity.marked_id, *entity[2:])


def account_row(user_id: int) -> Row:
    """Returns the entity as which Telethon's client stores the account."""
    # Seen later than the one that the target may have.
    return (0, user_id, None, None, None, int(time.time()) + 1)


def read_passcode() -> str:
    """Reads a passcode from standard input, and prompts for it on a terminal.

    Raises:
        CommandError: There is none.
    """
    try:
        passcode = getpass.getpass("passcode: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        passcode.encode()
    except UnicodeError:
        # The error contains what was read.
        raise CommandError("the passcode on standard input is not valid text") from None
    if not passcode:
        raise CommandError("there is no passcode on standard input")
    return passcode

"""Where a session is: in a file, or on a server."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from .._core import public_url
from ..opening import server_class, split_location
from ..remote import RemoteSession
from . import files
from .encryption import add_encryption_option
from .errors import CommandError
from .passwords import add_password_option, given_password, with_password

PLACE_HELP = "the session file, with or without .session; or a URL such as redis://localhost/0#anon"


@dataclass(frozen=True)
class Remote:
    """A session on a server; the server itself if the name is empty."""

    cls: type[RemoteSession]
    # May contain a password.
    url: str = field(repr=False)
    name: str

    def __str__(self) -> str:
        """Returns the URL without user, password and parameters."""
        server = public_url(self.cls._kind, self.url)
        return f"{server}#{quote(self.name)}" if self.name else server

    @property
    def location(self) -> str:
        """What `open_session` takes. May contain a password."""
        return f"{self.url}#{quote(self.name, safe='')}"

    def named(self, name: str) -> Remote:
        return replace(self, name=name)


Place: TypeAlias = Path | Remote


def add_place_argument(parser: ArgumentParser) -> None:
    """Adds a FILE that may be a URL, and the options for the password and the encryption key."""
    parser.add_argument("file", metavar="FILE", help=PLACE_HELP)
    add_password_option(parser)
    add_encryption_option(parser)


def place(text: str, password_file: str | None, *, reads_environment: bool = True) -> Place:
    """Returns where a session is, or is to be. The arguments are those of `server`.

    Raises:
        CommandError: The URL is not valid, or names no session.
    """
    if not files.is_url(text):
        return files.session_path(text)
    found = server(text, password_file, reads_environment=reads_environment)
    if not found.name:
        raise CommandError(f"{found} names no session: write its name behind #, as in redis://localhost/0#anon")
    return found


def existing_place(text: str, password_file: str | None, *, reads_environment: bool = True) -> Place:
    """Returns where a session is. Whether a session is on the server shows when it is opened. The
    arguments are those of `server`.

    Raises:
        CommandError: There is no such file, or the URL is not valid.
    """
    if files.is_url(text):
        return place(text, password_file, reads_environment=reads_environment)
    return files.existing_session_path(text)


def server(text: str, password_file: str | None, *, reads_environment: bool = True) -> Remote:
    """Returns the server that a URL names, and perhaps a session there.

    Args:
        text: The URL.
        password_file: The file with the password, if the URL has none.
        reads_environment: Whether to read the password from the environment if no file is given.

    Raises:
        CommandError: The URL is not valid. The message contains no password.
    """
    try:
        cls = server_class(text)
        url, name = split_location(text)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if password_file is not None or reads_environment:
        url = with_password(url, given_password(password_file))
    try:
        public_url(cls._kind, url)
    except ValueError as error:
        raise CommandError(f"the URL is not valid: {error}") from error
    return Remote(cls, url, name)


def are_same(one: Place, other: Place) -> bool:
    """Returns `True` if both are the same file, or the same session."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.exists() and other.exists() and one.samefile(other)
    return str(one) == str(other)

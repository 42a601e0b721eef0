"""Session strings: read from standard input, and made of a login."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

from telethon.crypto import AuthKey

from ..memory import RustMemorySession
from ..string import RustStringSession
from . import files
from .encryption import ENVIRONMENT, OPTION
from .errors import CommandError
from .output import print_message, print_warning
from .reader import SessionReader
from .rows import Credentials

_PROMPT = "session string: "
_CONTINUATION_PROMPT = "the rest of the string, or Enter: "


def require_private_output(*, is_allowed: bool) -> None:
    """Raises `CommandError` if standard output is a terminal, unless that is allowed."""
    if sys.stdout.isatty() and not is_allowed:
        raise CommandError(
            "the string gives full access to the account: redirect it to a pipe or a file, or print it here with --yes"
        )


def print_login(file: SessionReader) -> None:
    """Prints the login of a session as a string.

    Raises:
        CommandError: The session has no login, or it cannot be expressed as a string.
    """
    string = _string_of(file)
    print_warning("this string gives full access to the account: keep it secret")
    print(string)


def require_login(file: SessionReader) -> Credentials:
    """Returns the login of a session.

    Raises:
        CommandError: It has none, or it cannot be decrypted.
    """
    # Reading the version raises if the file is not a session.
    credentials = file.version and file.credentials()
    if not credentials or not credentials.auth_key:
        raise CommandError(f"{file.place} is not logged in: it has no valid auth key")
    if credentials.is_encrypted:
        what = "was encrypted with another key, or is damaged" if file.keys else "is encrypted"
        raise CommandError(f"{file.place}: the login {what}: give the key with {OPTION} or {ENVIRONMENT}")
    return credentials.with_address()


def _string_of(file: SessionReader) -> str:
    credentials = require_login(file)
    if not (credentials.server_address and credentials.port):
        raise CommandError(
            f"{file.place} lacks the address of data centre {credentials.dc_id}, which the string must contain: run"
            f" `{files.command_line('check', file.place)}`"
        )
    session = RustMemorySession()
    session.set_dc(credentials.dc_id, credentials.server_address, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    try:
        return RustStringSession.save(session)
    except ValueError as error:
        raise CommandError(f"{file.place}: {error}") from error


def read_login() -> Credentials:
    """Reads a string from standard input, and prompts for it on a terminal.

    Raises:
        CommandError: There is no valid string with a login. The message does not contain it.
    """
    try:
        given = RustStringSession(_read_string())
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not given.auth_key:
        raise CommandError("the string has no auth key")
    return Credentials(given.dc_id, given.server_address, given.port, given.auth_key.key)


def _read_string() -> str:
    string = _prompt_for_string() if sys.stdin.isatty() else sys.stdin.read()
    if not string.strip():
        raise CommandError("there is no session string on standard input")
    return string.strip()


def _prompt_for_string() -> str:
    """Reads a string from the terminal without echo.

    Reads all lines of a pasted string, because the shell would execute the rest.
    """
    prompts = chain([_PROMPT], repeat(_CONTINUATION_PROMPT))
    string = ""
    with _without_echo() as read_line:
        for prompt in prompts:
            line = read_line(prompt)
            string += line
            if not line.strip() or not _is_truncated(string):
                return string
    return string


@contextmanager
def _without_echo() -> Iterator[Callable[[str], str]]:
    """Yields a function that prompts for a line, and turns off echo until the block ends.

    `getpass` alone would discard all lines of a paste but the first.
    """
    if sys.platform == "win32":
        yield getpass.getpass
        return
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    without_echo = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]

    def read_line(prompt: str) -> str:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        print_message("")
        return line

    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, without_echo)
        yield read_line
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _is_truncated(string: str) -> bool:
    try:
        RustStringSession(string)
    except ValueError as error:
        return "missing" in str(error)
    return False

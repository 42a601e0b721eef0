"""Session strings: read from standard input, and made of a login."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

from telethon.crypto import AuthKey

from ..foreign.session import ConversionError, ForeignSession
from ..foreign.strings import is_incomplete, read_string
from ..memory import RustMemorySession
from ..string import RustStringSession
from . import files
from .encryption import AS_ARGUMENT
from .errors import CommandError
from .output import print_message, print_warning
from .reader import SessionReader
from .rows import Credentials

NOT_AS_ARGUMENT = (
    "a session string cannot be given as an argument, because it would stay in the shell's history and be visible in"
    " the list of processes: give it on standard input"
)

_PROMPT = "session string: "
_CONTINUATION_PROMPT = "the rest of the string, or Enter: "
# The limit of most file systems. Session strings are longer.
_MAX_NAME_LENGTH = 255
# Of characters on standard input: more than any string, also with what pasting adds.
_MAX_INPUT = 100_000


def name_argument(text: str) -> str:
    """Parses the name of a file or a URL, as argparse's `type`. Refuses a session string, which
    would become the name.
    """
    if looks_like_string(text):
        raise ArgumentTypeError(NOT_AS_ARGUMENT)
    return text


def looks_like_string(text: str) -> bool:
    """Returns `True` if what should be the name of a file or a URL is rather a session string."""
    if len(text) <= _MAX_NAME_LENGTH or files.is_url(text) or "." in text:
        return False
    folder, name = os.path.split(text)
    # Not `Path.is_dir`, which raises for a name that is too long.
    return len(name) > _MAX_NAME_LENGTH or not os.path.isdir(folder)  # noqa: PTH112


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
    print_string(_string_of(file))


def print_string(string: str) -> None:
    """Prints a string of any library."""
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
        raise CommandError(f"{file.place}: the login {what}: give the key {AS_ARGUMENT}")
    return credentials.with_address()


def require_address(file: SessionReader) -> Credentials:
    """Returns the login of a session with the address of its data centre.

    Raises:
        CommandError: It has no login, it cannot be decrypted, or the address is not known.
    """
    credentials = require_login(file)
    if not (credentials.server_address and credentials.port):
        raise CommandError(
            f"{file.place} lacks the address of data centre {credentials.dc_id}, which the string must contain: run"
            f" `{files.command_line('check', file.place)}`"
        )
    return credentials


def _string_of(file: SessionReader) -> str:
    credentials = require_address(file)
    session = RustMemorySession()
    session.set_dc(credentials.dc_id, credentials.server_address, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    try:
        return RustStringSession.save(session)
    except ValueError as error:
        raise CommandError(f"{file.place}: {error}") from error


def read_login() -> ForeignSession:
    """Reads a string of any library from standard input, and prompts for it on a terminal.

    Raises:
        CommandError: There is no valid string with a login. The message does not contain it.
    """
    try:
        return read_string(_read_string())
    except ConversionError as error:
        raise CommandError(str(error)) from error


def _read_string() -> str:
    try:
        string = _prompt_for_string() if sys.stdin.isatty() else sys.stdin.read(_MAX_INPUT)
    except UnicodeDecodeError:
        # The error contains what was read.
        string = "\ufffd"
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
            if not line.strip() or not is_incomplete(string):
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

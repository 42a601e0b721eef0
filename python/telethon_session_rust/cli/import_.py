"""`telethon-session import`: creates a session file from a session string."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

from ..sqlite import RustSQLiteSession
from ..string import RustStringSession
from . import files
from .errors import CommandError
from .output import print_message
from .reader import open_reader
from .subcommands import Subcommands

_DESCRIPTION = """\
Reads the string from standard input; on a terminal, prompts for it without showing it. White
space, line breaks and quotes around or inside the string do not matter. The string cannot be
given as an argument: the shell would keep it in its history, and other users of the machine
could see it in the list of processes.

Refuses a file that already has a login. Only its owner can read the new file (mode 0600)."""
_NOT_AS_ARGUMENT = (
    "a session string cannot be given as an argument, because it would stay in the shell's history and be visible in"
    " the list of processes: give it on standard input"
)
_PROMPT = "session string: "
_CONTINUATION_PROMPT = "the rest of the string, or Enter: "
# The limit of most file systems. Session strings are longer.
_MAX_NAME_LENGTH = 255


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "import",
        run,
        summary="create a session file from a session string",
        description=_DESCRIPTION,
        example="telethon-session import anon < string.txt",
        unexpected_arguments_message=_NOT_AS_ARGUMENT,
    )
    parser.add_argument("file", metavar="FILE", type=_file_name, help="the new session file, with or without .session")


def run(arguments: Namespace) -> int:
    path = files.session_path(arguments.file)
    is_new = not path.exists()
    if not is_new and path.stat().st_size > 0:
        with open_reader(path) as file:
            credentials = file.version and file.credentials()
        if credentials and credentials.auth_key:
            raise CommandError(f"{path} already has a login: choose another name, or move the file away")
    write_login(path, _read_string(), is_new=is_new)
    print_message(f"{path} is logged in")
    return 0


def write_login(path: Path, string: str, *, is_new: bool) -> None:
    """Writes the login of a string to a file that has none."""
    try:
        given = RustStringSession(string)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not given.auth_key:
        raise CommandError("the string has no auth key")
    session = RustSQLiteSession(path)
    try:
        if not is_new:
            path.chmod(0o600)
        session.set_dc(given.dc_id, given.server_address, given.port)
        session.auth_key = given.auth_key
        session.save()
    finally:
        session.close()


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


def _file_name(text: str) -> str:
    """Parses the name of the file, as argparse's `type`. Refuses a session string, which would
    become the name.
    """
    if len(text) > _MAX_NAME_LENGTH:
        raise ArgumentTypeError(_NOT_AS_ARGUMENT)
    return text

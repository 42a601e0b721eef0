"""`telethon-session import`: a file of a session string."""

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
from .command import Commands
from .printing import say
from .reading import reading
from .trouble import Trouble

_MORE = """\
Reads the string from standard input; on a terminal, prompts for it without showing it. White
space, line breaks and quotes around or inside the string do not matter. The string cannot be
given as an argument: the shell would keep it in its history, and other users of the machine
could see it in the list of processes.

Refuses a file that already has a login. Only its owner can read the new file (mode 0600)."""
_NOT_HERE = (
    "a session string is not taken as an argument: the shell keeps it in its history, and others see it in the list of"
    " processes. Give it on standard input"
)
_PROMPT = "session string: "
# No file has a longer one, and every string is longer.
_LONGEST_NAME = 255


def add_to(commands: Commands) -> None:
    example = "telethon-session import anon < string.txt"
    summary = "make a session file from a session string"
    parser = commands.declare("import", run, summary, _MORE, example, explain_rest=_NOT_HERE)
    parser.add_argument("file", metavar="FILE", type=_name, help="the new session file, with or without .session")


def run(arguments: Namespace) -> int:
    path = files.new(arguments.file)
    is_new = not path.exists()
    if not is_new and path.stat().st_size > 0:
        with reading(path) as file:
            login = file.version and file.login()
        if login and login.auth_key:
            raise Trouble(f"{path} has a login already: choose another name, or move it away")
    write(path, _ask(), is_new)
    say(f"{path} has the login.")
    return 0


def write(path: Path, string: str, is_new: bool) -> None:
    """Puts the login of a string into a file without one."""
    try:
        given = RustStringSession(string)
    except ValueError as error:
        raise Trouble(str(error)) from error
    if not given.auth_key:
        raise Trouble("there is no key in the string")
    session = RustSQLiteSession(path)
    try:
        if not is_new:
            path.chmod(0o600)
        session.set_dc(given.dc_id, given.server_address, given.port)
        session.auth_key = given.auth_key
        session.save()
    finally:
        session.close()


def _ask() -> str:
    string = _typed() if sys.stdin.isatty() else sys.stdin.read()
    if not string.strip():
        raise Trouble("there is no session string on standard input")
    return string.strip()


def _typed() -> str:
    """Reads a string from the terminal without showing it, to its end: what is left of a paste goes to the shell."""
    prompts = chain([_PROMPT], repeat("the rest of it, or Enter: "))
    string = ""
    with _unseen() as read_line:
        for prompt in prompts:
            line = read_line(prompt)
            string += line
            if not line.strip() or not _is_cut_off(string):
                return string
    return string


@contextmanager
def _unseen() -> Iterator[Callable[[str], str]]:
    """Keeps the terminal from showing what is typed. `getpass` alone would drop all lines of a paste but the first."""
    if sys.platform == "win32":
        yield getpass.getpass
        return
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    unseen = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]

    def read_line(prompt: str) -> str:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        say("")
        return line

    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, unseen)
        yield read_line
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _is_cut_off(string: str) -> bool:
    try:
        RustStringSession(string)
    except ValueError as error:
        return "missing" in str(error)
    return False


def _name(text: str) -> str:
    """The file's name; a string in its place is told apart, for the file would get it as its name."""
    if len(text) > _LONGEST_NAME:
        raise ArgumentTypeError(_NOT_HERE)
    return text

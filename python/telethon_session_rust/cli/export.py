"""`telethon-session export`: a file's login as a string."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from telethon.crypto import AuthKey

from ..memory import RustMemorySession
from ..string import RustStringSession
from . import files
from .command import Commands, add_file
from .printing import warn
from .reading import reading
from .trouble import Trouble

_MORE = """\
Prints the string that `StringSession.save` returns for this session. The string gives full
access to the account, so the command does not print it to a terminal unless you pass --yes. The
file does not change and stays logged in; do not use the file and the string at once."""


def add_to(commands: Commands) -> None:
    example = "telethon-session export anon | ssh server telethon-session import anon"
    parser = commands.declare("export", run, "print the login as a session string", _MORE, example)
    add_file(parser)
    parser.add_argument("--yes", action="store_true", help="print the string even to a terminal")


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    if sys.stdout.isatty() and not arguments.yes:
        raise Trouble(
            "the string gives full access to the account: send it to a pipe or a file, or print it here with --yes"
        )
    string = string_of(path)
    warn("anyone with this string is logged in to the account: keep it like a password")
    print(string)
    return 0


def string_of(path: Path) -> str:
    with reading(path) as file:
        # That it is a session is asked first.
        login = file.version and file.login()
    if not login or not login.auth_key:
        raise Trouble(f"{path} has no key that could be used: it is not logged in")
    login = login.with_address()
    if not (login.server_address and login.port):
        raise Trouble(
            f"{path} does not tell the address of data centre {login.dc_id}, which is a part of the string; use"
            f" `{files.advice('check', path)}`"
        )
    session = RustMemorySession()
    session.set_dc(login.dc_id, login.server_address, login.port)
    session.auth_key = AuthKey(login.auth_key)
    try:
        return RustStringSession.save(session)
    except ValueError as error:
        raise Trouble(f"{path}: {error}") from error

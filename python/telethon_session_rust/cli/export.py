"""`telethon-session export`: prints the login of a file as a session string."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from telethon.crypto import AuthKey

from ..memory import RustMemorySession
from ..string import RustStringSession
from . import files
from .errors import CommandError
from .output import print_warning
from .reader import open_reader
from .subcommands import Subcommands, add_file_argument

_DESCRIPTION = """\
Prints the string that `StringSession.save` returns for this session. The string gives full
access to the account, so the command does not print it to a terminal unless you pass --yes. The
file does not change and stays logged in; do not use the file and the string at once."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "export",
        run,
        summary="print the login as a session string",
        description=_DESCRIPTION,
        example="telethon-session export anon | ssh server telethon-session import anon",
    )
    add_file_argument(parser)
    parser.add_argument("--yes", action="store_true", help="print the string even to a terminal")


def run(arguments: Namespace) -> int:
    path = files.existing_session_path(arguments.file)
    if sys.stdout.isatty() and not arguments.yes:
        raise CommandError(
            "the string gives full access to the account: redirect it to a pipe or a file, or print it here with --yes"
        )
    string = session_string(path)
    print_warning("this string gives full access to the account: keep it secret")
    print(string)
    return 0


def session_string(path: Path) -> str:
    """Returns the login of a file as a session string.

    Raises:
        CommandError: The file has no login, or its login cannot be expressed as a string.
    """
    with open_reader(path) as file:
        # Reading the version raises if the file is not a session.
        credentials = file.version and file.credentials()
    if not credentials or not credentials.auth_key:
        raise CommandError(f"{path} is not logged in: it has no valid auth key")
    credentials = credentials.with_address()
    if not (credentials.server_address and credentials.port):
        raise CommandError(
            f"{path} lacks the address of data centre {credentials.dc_id}, which the string must contain: run"
            f" `{files.command_line('check', path)}`"
        )
    session = RustMemorySession()
    session.set_dc(credentials.dc_id, credentials.server_address, credentials.port)
    session.auth_key = AuthKey(credentials.auth_key)
    try:
        return RustStringSession.save(session)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error

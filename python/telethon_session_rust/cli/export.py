"""`telethon-session export`: prints the login of a session as a session string."""

from __future__ import annotations

from argparse import Namespace

from .encryption import given_keys
from .places import add_place_argument, existing_place
from .source import open_source
from .strings import print_login, require_private_output
from .subcommands import Subcommands

_DESCRIPTION = """\
Prints the string that `StringSession.save` returns for this session. The string gives full
access to the account, so the command does not print it to a terminal unless you pass --yes. The
session does not change and stays logged in; do not use it and the string at once."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "export",
        run,
        summary="print the login as a session string",
        description=_DESCRIPTION,
        example="telethon-session export anon | ssh server telethon-session import anon",
    )
    add_place_argument(parser)
    parser.add_argument("--yes", action="store_true", help="print the string even to a terminal")


def run(arguments: Namespace) -> int:
    place = existing_place(arguments.file, arguments.password_file)
    require_private_output(is_allowed=arguments.yes)
    with open_source(place, given_keys(arguments.encryption_key_file), is_login_enough=True) as file:
        print_login(file)
    return 0

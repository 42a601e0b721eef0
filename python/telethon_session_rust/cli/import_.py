"""`telethon-session import`: creates a session from a session string."""

from __future__ import annotations

from argparse import Namespace

from .encryption import add_encryption_option, given_keys
from .errors import CommandError
from .foreign import account_row
from .output import print_message
from .passwords import add_password_option
from .places import PLACE_HELP, place
from .reader import SessionReader
from .rows import Credentials
from .source import existing
from .strings import NOT_AS_ARGUMENT, name_argument, read_login
from .subcommands import Subcommands
from .target import open_target

_DESCRIPTION = """\
Takes strings of Telethon, Pyrogram, Kurigram, GramJS, mtcute and MTKruto, and tells them apart by
their content.

Reads the string from standard input; on a terminal, prompts for it without showing it. White
space, line breaks and quotes around or inside the string do not matter. The string cannot be
given as an argument: the shell would keep it in its history, and other users of the machine
could see it in the list of processes. With an encryption key, the login is encrypted.

Refuses a session that already has a login, or the entities of another account, and the entity file
of a string session. Only its owner can read the file (mode 0600)."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "import",
        run,
        summary="create a session from a session string",
        description=_DESCRIPTION,
        example="telethon-session import anon < string.txt",
        unexpected_arguments_message=NOT_AS_ARGUMENT,
    )
    parser.add_argument("file", metavar="FILE", type=name_argument, help=PLACE_HELP)
    add_password_option(parser)
    add_encryption_option(parser)


def run(arguments: Namespace) -> int:
    target = place(arguments.file, arguments.password_file)
    keys = given_keys(arguments.encryption_key_file)
    before = existing(target, keys)
    if before.auth_key:
        raise CommandError(f"{target} already has a login: choose another name, or move it away")
    session = read_login()
    if before.is_of_another_account(session.user_id):
        raise CommandError(
            f"{target} has the entities of another account ({before.account_id}): choose another name, or move it away"
        )
    with open_target(target, keys, gets_login=True) as writer:
        if session.user_id is not None:
            writer.insert("entities", [account_row(session.user_id)])
        writer.replace_credentials(Credentials(session.dc_id, session.server_address, session.port, session.auth_key))
    print_message(f"{target} is logged in")
    if session.library != SessionReader.library:
        print_message(f"the string is one of {session.library}: {'; '.join(session.notes)}")
    return 0

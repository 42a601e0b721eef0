"""`telethon-session import`: creates a session from a session string."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from telethon.crypto import AuthKey

from ..sqlite import RustSQLiteSession
from . import files
from .encryption import Keys, add_encryption_option, given_keys
from .errors import CommandError
from .output import print_message
from .passwords import add_password_option
from .places import PLACE_HELP, place
from .rows import Credentials
from .source import login_of
from .strings import read_login
from .subcommands import Subcommands
from .target import open_target

_DESCRIPTION = """\
Reads the string from standard input; on a terminal, prompts for it without showing it. White
space, line breaks and quotes around or inside the string do not matter. The string cannot be
given as an argument: the shell would keep it in its history, and other users of the machine
could see it in the list of processes. With an encryption key, the login is encrypted.

Refuses a session that already has a login. Only its owner can read a new file (mode 0600)."""
_NOT_AS_ARGUMENT = (
    "a session string cannot be given as an argument, because it would stay in the shell's history and be visible in"
    " the list of processes: give it on standard input"
)
# The limit of most file systems. Session strings are longer.
_MAX_NAME_LENGTH = 255


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "import",
        run,
        summary="create a session from a session string",
        description=_DESCRIPTION,
        example="telethon-session import anon < string.txt",
        unexpected_arguments_message=_NOT_AS_ARGUMENT,
    )
    parser.add_argument("file", metavar="FILE", type=_file_name, help=PLACE_HELP)
    add_password_option(parser)
    add_encryption_option(parser)


def run(arguments: Namespace) -> int:
    target = place(arguments.file, arguments.password_file)
    keys = given_keys(arguments.encryption_key_file)
    found = login_of(target, keys)
    if found and found.auth_key:
        raise CommandError(f"{target} already has a login: choose another name, or move it away")
    credentials = read_login()
    if isinstance(target, Path):
        _write_file(target, credentials, keys)
    else:
        with open_target(target, keys) as writer:
            writer.replace_credentials(credentials)
    print_message(f"{target} is logged in")
    return 0


def _write_file(path: Path, credentials: Credentials, keys: Keys) -> None:
    is_new = not path.exists()
    session = RustSQLiteSession(path, encryption_key=keys or None)
    try:
        if not is_new:
            path.chmod(0o600)
        session.set_dc(credentials.dc_id, credentials.server_address, credentials.port)
        session.auth_key = AuthKey(credentials.auth_key)
        session.save()
    finally:
        session.close()


def _file_name(text: str) -> str:
    """Parses the name of the file, as argparse's `type`. Refuses a session string, which would
    become the name.
    """
    if len(text) > _MAX_NAME_LENGTH and not files.is_url(text):
        raise ArgumentTypeError(_NOT_AS_ARGUMENT)
    return text

"""`telethon-session export`: prints the login of a session as a session string."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..foreign.data_centres import is_test_server
from ..foreign.session import ConversionError, ForeignSession
from ..foreign.strings import FORMATS
from .encryption import given_keys
from .errors import CommandError
from .places import add_place_argument, existing_place
from .reader import SessionReader
from .source import open_source
from .strings import print_login, print_string, require_address, require_private_output
from .subcommands import Subcommands, positive_int

_DESCRIPTION = """\
Prints the string that `StringSession.save` returns for this session, or with --format that of
another library. The string gives full access to the account, so the command does not print it
to a terminal unless you pass --yes. The session does not change and stays logged in; do not use
it and the string at once.

Strings of Pyrogram (which are Kurigram's too) and MTKruto contain the program's API ID, which a
session does not have: give it with --api-id. They and those of mtcute say which account it is,
and whether it is a bot. Telethon's client stores the account's ID, and a bot is known by its
username, so --user-id and --bot are needed only if the session has not been used yet. An option
for what a string does not contain is refused."""
_TELETHON = "telethon"
# The options for attributes of a `ForeignSession`.
_OPTIONS = {"api_id": "--api-id", "user_id": "--user-id", "is_bot": "--bot"}


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
    _add_format_options(parser)


def _add_format_options(parser: ArgumentParser) -> None:
    names = (_TELETHON, *FORMATS)
    parser.add_argument("--format", choices=names, default=_TELETHON, help="the library whose string it is to be")
    parser.add_argument("--api-id", type=positive_int, metavar="ID", help="the API ID of the program")
    parser.add_argument("--user-id", type=positive_int, metavar="ID", help="the account's ID")
    parser.add_argument("--bot", action="store_true", dest="is_bot", help="the account is a bot")


def run(arguments: Namespace) -> int:
    _require_used(arguments)
    place = existing_place(arguments.file, arguments.password_file)
    require_private_output(is_allowed=arguments.yes)
    with open_source(place, given_keys(arguments.encryption_key_file), is_login_enough=True) as file:
        if arguments.format == _TELETHON:
            print_login(file)
        else:
            print_string(_string_of(file, arguments))
    return 0


def _require_used(arguments: Namespace) -> None:
    """Raises `CommandError` if an option does not apply to the format."""
    used = FORMATS[arguments.format].used if arguments.format in FORMATS else ()
    if unused := [option for name, option in _OPTIONS.items() if getattr(arguments, name) and name not in used]:
        raise CommandError(
            f"--format {arguments.format} takes no {' and no '.join(unused)}: its strings do not contain that"
        )


def _string_of(file: SessionReader, arguments: Namespace) -> str:
    """Returns the login as another library's string.

    Raises:
        CommandError: Something is missing that the string must contain, or does not fit.
    """
    credentials = require_address(file)
    assert credentials.server_address and credentials.port
    user_id = arguments.user_id or file.account_id()
    session = ForeignSession(
        library=SessionReader.library,
        dc_id=credentials.dc_id,
        auth_key=credentials.auth_key,
        server_address=credentials.server_address,
        port=credentials.port,
        is_test=is_test_server(credentials.server_address),
        user_id=user_id,
        is_bot=arguments.is_bot or _is_bot(file, user_id),
        api_id=arguments.api_id,
    )
    found = FORMATS[arguments.format]
    if missing := [_OPTIONS[name] for name in found.needed if getattr(session, name) is None]:
        raise CommandError(
            f"{file.place} lacks what a {found.library} string must contain: give it with {' and '.join(missing)}"
        )
    try:
        return found.write(session)
    except ConversionError as error:
        raise CommandError(f"{file.place}: {error}") from error


def _is_bot(file: SessionReader, user_id: int | None) -> bool:
    """Returns `True` if the account has a username that only bots may have."""
    found = file.find_entities("id = ?", [user_id]) if user_id and "entities" in file.tables else []
    return any(isinstance(username, str) and username.lower().endswith("bot") for _, _, username, *_ in found)

"""`telethon-session backup`: copies a session to a new file, also while programs use it."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from pathlib import Path

from .._core import copy_file
from . import files
from .encryption import Keys, add_encryption_option, given_keys
from .errors import CommandError
from .output import print_message, print_pairs
from .passwords import add_password_option
from .places import PLACE_HELP, Place, Remote, are_same, existing_place
from .reader import open_reader
from .remote import check_exists, open_remote
from .subcommands import Subcommands

_DESCRIPTION = """\
Copies a session to a new file, as it is at one moment, also while programs use it and write to
it. A session file is copied page by page: what programs have written is in the copy, and what
they still hold in memory, about a second's worth, is not (session.backup() of the program itself
copies that too). An encrypted login stays encrypted, and no key is needed for a file.

TARGET appears under its name when it is complete. Only its owner can read it (mode 0600). An
existing file is replaced only with --force. The copy holds the login too: keep it secret, and do
not use it and FILE at once."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "backup",
        run,
        summary="copy a session that is in use to a new file",
        description=_DESCRIPTION,
        example="telethon-session backup anon backups/anon",
    )
    parser.add_argument("file", metavar="FILE", help=PLACE_HELP)
    parser.add_argument("target", metavar="TARGET", help="the new file, with or without .session")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    add_password_option(parser)
    add_encryption_option(parser)


def run(arguments: Namespace) -> int:
    source = existing_place(arguments.file, arguments.password_file)
    target = files.session_path(arguments.target)
    if are_same(source, target):
        raise CommandError(f"{target} cannot be backed up to itself")
    try:
        _copy(source, target, given_keys(arguments.encryption_key_file), is_forced=arguments.force)
    except FileExistsError:
        raise CommandError(f"{target} already exists: choose another name, or replace it with --force") from None
    with open_reader(target) as copy:
        print_pairs(
            [
                ("backed up", source),
                ("to", target),
                ("entities", f"{copy.count('entities'):,}"),
                ("update states", f"{copy.count('update_state'):,}"),
                ("sent files", f"{copy.count('sent_files'):,}"),
            ]
        )
    print_message(f"{target} holds the login too: keep it secret")
    return 0


def _copy(source: Place, target: Path, keys: Keys, *, is_forced: bool) -> None:
    if isinstance(source, Path):
        with open_reader(source) as file:
            # Reading the version raises if the file is not a session.
            _ = file.version
        copy_file(source, target, is_forced)
    else:
        _copy_remote(source, target, keys, is_forced=is_forced)


def _copy_remote(source: Remote, target: Path, keys: Keys, *, is_forced: bool) -> None:
    with open_remote(source, keys) as session:
        check_exists(session, source)
        asyncio.run(session.backup(target, overwrite=is_forced))

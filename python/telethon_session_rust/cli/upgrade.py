"""`telethon-session upgrade`: upgrades a file to the database version of the installed Telethon."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import telethon
from telethon.sessions.sqlite import CURRENT_VERSION

from ..sqlite import RustSQLiteSession
from . import files
from .encryption import add_encryption_option, given_keys
from .output import print_message
from .reader import SessionReader, open_reader
from .schema import LAST_WITH_WRONG_HASHES
from .subcommands import Subcommands, add_file_argument
from .writer import copy_owner

_DESCRIPTION = f"""\
Upgrades the file to the database version of the installed Telethon, as opening it with a
session does. An older Telethon may not be able to read it afterwards.

Upgrading from version {LAST_WITH_WRONG_HASHES} or older removes all entities, as in Telethon, because
their access hashes may be wrong. The command says so first and keeps a copy of the file as
FILE.backup (with a number if that exists). The copy holds the login too, so remove it when you
no longer need it."""


def add_to(subcommands: Subcommands) -> None:
    parser = subcommands.add(
        "upgrade",
        run,
        summary="upgrade a session file",
        description=_DESCRIPTION,
        example="telethon-session upgrade anon",
    )
    add_file_argument(parser)
    add_encryption_option(parser)


def run(arguments: Namespace) -> int:
    path = files.existing_session_path(arguments.file)
    keys = given_keys(arguments.encryption_key_file)
    with open_reader(path) as file:
        version, entities = file.version, file.count("entities")
        if version <= LAST_WITH_WRONG_HASHES and entities:
            print_message(
                f"{path}: removing {entities:,} entities, because access hashes of database version {version} may be"
                " wrong"
            )
            backup = _back_up(file)
            print_message(f"{backup} is a copy of the file as it was, including the login")
    if version > CURRENT_VERSION:
        print(
            f"{path} has database version {version}, which is newer than {CURRENT_VERSION}, the version of Telethon"
            f" {telethon.__version__}"
        )
    elif version == CURRENT_VERSION:
        print(f"{path} already has database version {version}")
    else:
        RustSQLiteSession(path, encryption_key=keys or None).close()
        print(
            f"{path} was upgraded from database version {version} to {CURRENT_VERSION}, the version of Telethon"
            f" {telethon.__version__}"
        )
    return 0


def _back_up(file: SessionReader) -> Path:
    path = file.path.resolve()
    backup = files.unused_path(path.with_name(f"{path.name}.backup"))
    try:
        # Created in advance, so that only the owner can ever read it.
        os.close(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy_owner(path, backup)
        file.copy_to(backup)
    except BaseException:
        backup.unlink(missing_ok=True)
        raise
    return file.path.with_name(backup.name) if not file.path.is_symlink() else backup

"""`telethon-session upgrade`: to the database version of the Telethon that is installed."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import telethon
from telethon.sessions.sqlite import CURRENT_VERSION

from ..sqlite import RustSQLiteSession
from . import files
from .command import Commands, add_file
from .printing import say
from .reading import SessionFile, reading
from .schema import WRONG_HASHES
from .writing import give_to_owner_of

_MORE = f"""\
Upgrades the file to the database version of the installed Telethon, as opening it with a
session does. An older Telethon may not be able to read it afterwards.

Upgrading from version {WRONG_HASHES} or older removes all entities, as in Telethon, because
their access hashes may be wrong. The command says so first and keeps a copy of the file as
FILE.backup (with a number if that exists). The copy holds the login too, so remove it when you
no longer need it."""


def add_to(commands: Commands) -> None:
    add_file(commands.declare("upgrade", run, "upgrade a session file", _MORE, "telethon-session upgrade anon"))


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    with reading(path) as file:
        version, entities = file.version, file.count("entities")
        if version <= WRONG_HASHES and entities:
            say(f"{entities:,} entities will be forgotten: in version {version} their access hashes may be wrong.")
            backup = _back_up(file)
            say(f"{backup} is a copy of the file as it was; it holds the login too.")
    wanted = f"version {CURRENT_VERSION}, that of Telethon {telethon.__version__}"
    if version >= CURRENT_VERSION:
        is_newer = version > CURRENT_VERSION
        print(f"{path} has database version {version}{f'; {wanted}, is older' if is_newer else ' already'}.")
        return 0
    RustSQLiteSession(path).close()
    print(f"{path} was upgraded from database version {version} to {wanted}.")
    return 0


def _back_up(file: SessionFile) -> Path:
    path = file.path.resolve()
    backup = files.unused(path.with_name(f"{path.name}.backup"))
    try:
        # Only its owner may read it.
        os.close(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        give_to_owner_of(backup, path)
        file.copy_to(backup)
    except BaseException:
        backup.unlink(missing_ok=True)
        raise
    return file.path.with_name(backup.name) if not file.path.is_symlink() else backup

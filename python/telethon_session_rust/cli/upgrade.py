"""`telethon-session upgrade`: to the database version of the Telethon that is installed."""

from __future__ import annotations

from argparse import Namespace

import telethon
from telethon.sessions.sqlite import CURRENT_VERSION

from ..sqlite import RustSQLiteSession
from . import files
from .command import Commands, add_file
from .printing import say
from .reading import reading
from .schema import WRONG_HASHES

_MORE = f"""\
To the database version of the Telethon that is installed, as opening it with a session does. An older Telethon may not
be able to read it afterwards. From version {WRONG_HASHES} or older all entities are forgotten, as Telethon does: their
access hashes may be wrong."""


def add_to(commands: Commands) -> None:
    add_file(commands.declare("upgrade", run, "upgrade a session file", _MORE, "telethon-session upgrade anon"))


def run(arguments: Namespace) -> int:
    path = files.existing(arguments.file)
    with reading(path) as file:
        version, entities = file.version, file.count("entities")
    wanted = f"version {CURRENT_VERSION}, that of Telethon {telethon.__version__}"
    if version >= CURRENT_VERSION:
        is_newer = version > CURRENT_VERSION
        print(f"{path} has database version {version}{f'; {wanted}, is older' if is_newer else ' already'}.")
        return 0
    RustSQLiteSession(path).close()
    print(f"{path} was upgraded from database version {version} to {wanted}.")
    if version <= WRONG_HASHES and entities:
        say(f"{entities:,} entities were forgotten: in version {version} their access hashes may be wrong.")
    return 0

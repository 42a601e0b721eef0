"""What is typed."""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Sequence

import telethon

from .. import __version__
from . import bench, check, entities, export, importing, info, listing, merge, repair, upgrade
from .command import Commands

PROGRAM = "telethon-session"
COMMANDS = (info, listing, check, repair, upgrade, export, importing, entities, merge, bench)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the command's function as `run`."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Looks after Telethon's session files. Whoever has one is logged in: never give it away.",
        epilog="FILE may be given with or without .session. Results go to stdout, everything else to stderr.",
    )
    versions = f"%(prog)s {__version__} (Telethon {telethon.__version__}, SQLite {sqlite3.sqlite_version})"
    parser.add_argument("--version", action="version", version=versions)
    commands = Commands(parser)
    for command in COMMANDS:
        command.add_to(commands)
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        # They are not repeated: one may be a session string.
        parser.error(arguments.explain_rest or "there are more arguments than the command takes; see --help")
    return arguments

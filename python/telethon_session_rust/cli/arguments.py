"""What is typed."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence

import telethon

from .. import __version__
from . import bench, check, entities, export, importing, info, listing, merge, repair, upgrade
from .command import Commands

PROGRAM = "telethon-session"
COMMANDS = (info, listing, check, repair, upgrade, export, importing, entities, merge, bench)


_DESCRIPTION = """\
Inspects, repairs and converts Telethon session files. A session file gives full access to the
account: never share it."""
_EPILOG = """\
Give FILE with or without .session. Results go to standard output, everything else to standard
error.

exit codes:
  0    success
  1    a fault in a file, a loss, no match, or an error; the last line on standard error says which
  2    invalid arguments
  130  interrupted by Ctrl-C
  141  the reader of the output went away"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the command's function as `run`."""
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    versions = f"%(prog)s {__version__} (Telethon {telethon.__version__}, SQLite {sqlite3.sqlite_version})"
    parser.add_argument("--version", action="version", version=versions)
    commands = Commands(parser)
    for command in COMMANDS:
        command.add_to(commands)
    if not (sys.argv[1:] if argv is None else argv):
        # To stderr and with 2, as nothing was done.
        parser.print_help(sys.stderr)
        parser.exit(2)
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        # They are not repeated: one may be a session string.
        parser.error(arguments.explain_rest or "too many arguments; see --help")
    return arguments

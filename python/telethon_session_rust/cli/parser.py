"""The argument parser of the program."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence

import telethon

from .. import __version__
from . import backup, bench, check, copy, entities, export, import_, info, list_, merge, repair, upgrade
from .subcommands import Subcommands

PROGRAM = "telethon-session"
COMMANDS = (info, list_, check, repair, upgrade, export, import_, copy, backup, entities, merge, bench)

_DESCRIPTION = """\
Inspects, repairs, converts and copies Telethon sessions. A session gives full access to the
account: never share it."""
_EPILOG = """\
Give FILE with or without .session. Where --help says so, it may be the URL of a session on a
server: redis://localhost/0#anon, postgresql://bot@db/telethon#anon, mysql://..., mongodb://...
Results go to standard output, everything else to standard error.

exit codes:
  0    success
  1    a problem in a file, a loss, no match, or an error; standard error says which
  2    invalid arguments
  130  interrupted by Ctrl-C
  141  the reader of the output went away"""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the arguments of the command line.

    Args:
        argv: The arguments, `sys.argv[1:]` by default.

    Returns:
        The arguments. `run` is the function that runs the command.

    Raises:
        SystemExit: `--help` or `--version` was given, or the arguments are invalid.
    """
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    versions = f"%(prog)s {__version__} (Telethon {telethon.__version__}, SQLite {sqlite3.sqlite_version})"
    parser.add_argument("--version", action="version", version=versions)
    subcommands = Subcommands(parser)
    for command in COMMANDS:
        command.add_to(subcommands)
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        parser.exit(2)
    arguments, unexpected = parser.parse_known_args(argv)
    if unexpected:
        # The message does not repeat them, because one may be a session string.
        parser.error(arguments.unexpected_arguments_message or "too many arguments; see --help")
    return arguments

"""The command `telethon-session`, which inspects, repairs and converts session files.

The exit code is 0 for success, 1 for a problem in a file, a loss, no match, or an error (the last
line on stderr says which), 2 for invalid arguments, 130 after Ctrl-C, and 141 if the reader of the
output went away.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from .errors import CommandError
from .output import printable
from .parser import PROGRAM, parse

# The exit codes with which a shell reports SIGINT and SIGPIPE.
_INTERRUPTED, _BROKEN_PIPE = 128 + 2, 128 + 13


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The arguments, `sys.argv[1:]` by default.

    Returns:
        The exit code.

    Raises:
        SystemExit: `--help` or `--version` was given, or the arguments are invalid.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names may contain characters that the terminal's encoding lacks.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = parse(argv)
    try:
        code: int = arguments.run(arguments)
        # Detects a closed pipe here rather than at exit.
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout again at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (CommandError, OSError, sqlite3.Error) as error:
        print(f"{PROGRAM}: error: {' '.join(printable(error).split())}", file=sys.stderr)
        return 1
    return code

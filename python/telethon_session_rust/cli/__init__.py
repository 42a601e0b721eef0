"""The command `telethon-session`, which inspects, repairs, converts and copies sessions.

The exit code is 0 for success, 1 for a problem in a file, a loss, no match, or an error (the last
line on stderr says which), 2 for invalid arguments, 130 after Ctrl-C, and 141 if the reader of the
output went away.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from ..errors import SessionError
from .encryption import explained
from .errors import CommandError
from .output import printable
from .parser import PROGRAM, parse

# The exit codes with which a shell reports SIGINT and SIGPIPE.
_INTERRUPTED, _BROKEN_PIPE = 128 + 2, 128 + 13
_NO_LOG = logging.NullHandler()


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
    # The sessions' warnings would stand beside the one line that reports the error.
    logging.getLogger("telethon_session_rust").addHandler(_NO_LOG)
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
    except (CommandError, SessionError, OSError, sqlite3.Error) as error:
        print(f"{PROGRAM}: error: {explained(' '.join(printable(error).split()))}", file=sys.stderr)
        return 1
    return code

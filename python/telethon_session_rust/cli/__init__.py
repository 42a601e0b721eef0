"""The command `telethon-session`: looks after session files.

The exit code is 0 for success, 1 for a fault in a file, a loss, no match, or an error (the last line on stderr says
which), 2 for invalid arguments, 130 after Ctrl-C, and 141 if the reader of the output went away.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from .arguments import PROGRAM, parse
from .printing import shown
from .trouble import Trouble

# As a shell has it of programs that a signal ended.
_INTERRUPTED, _BROKEN_PIPE = 128 + 2, 128 + 13


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name in an alphabet that the terminal does not have is no reason to fail.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = parse(argv)
    try:
        code: int = arguments.run(arguments)
        # What the reader of a pipe no longer takes is found out here.
        sys.stdout.flush()
    except BrokenPipeError:
        # Or Python would say so when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (Trouble, OSError, sqlite3.Error) as error:
        print(f"{PROGRAM}: error: {' '.join(shown(error).split())}", file=sys.stderr)
        return 1
    return code

"""The command `telethon-session`: looks after session files.

Ends with 0 if all is well, 1 if something is wrong (the last line on stderr says what), 2 if it was called wrongly, 130
after Ctrl-C.
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
    """Does what the arguments say, and answers how the process should end."""
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

"""A file that another program holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HOLD = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("begin exclusive")
print("held", flush=True)
sys.stdin.readline()
file.execute("rollback")
"""


@contextmanager
def held_by_another_program(path: str = "anna.session") -> Iterator[Callable[[], Any]]:
    """The file is locked until the block ends, or until what it is given is called."""
    command = [sys.executable, "-c", HOLD, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "held\n"
        # A line, for a child that this process has forked meanwhile keeps the pipe open.
        yield lambda: program.communicate("\n")
        if program.returncode is None:
            program.communicate("\n")

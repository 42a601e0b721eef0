"""A file that another program holds."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.programs import command


@contextmanager
def held_by_another_program(path: str = "anna.session") -> Iterator[Callable[[], Any]]:
    """The file is locked until the block ends, or until what it is given is called."""
    held = command("hold_exclusively", path)
    lock = threading.Lock()
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "held\n"

        def let_go() -> None:
            # A test may have a timer call this just when the block ends.
            with lock:
                if program.returncode is None:
                    # A line, because a child that this process has forked meanwhile keeps the pipe open.
                    program.communicate("\n")

        yield let_go
        let_go()

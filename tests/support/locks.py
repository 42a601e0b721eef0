"""Locks a file in another process."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.programs import command


@contextmanager
def locked_by_another_process(path: str = "anna.session") -> Iterator[Callable[[], Any]]:
    """Locks the file until the block ends, or until the yielded function is called."""
    lock_command = command("lock_file", path)
    lock = threading.Lock()
    with subprocess.Popen(lock_command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "locked\n"

        def release() -> None:
            # A test's timer may call this just when the block ends.
            with lock:
                if program.returncode is None:
                    # Sends a line, because a child forked meanwhile may keep the pipe open.
                    program.communicate("\n")

        yield release
        release()

"""Children that are forked, and waited for with a limit that only ends a hang."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

from support.counters import tried
from support.waiting import PATIENCE


def fork(call: Callable[[], Any]) -> int:
    """Calls in a forked process, which then ends without any of the interpreter's own last words. Answers its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            call()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def ends_well(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.002)
    assert ended == (pid, 0)
    tried("forks")


def in_a_child(call: Callable[[], Any]) -> None:
    ends_well(fork(call))


class Gate:
    """A child waits here until its parent opens it, or has ended."""

    def __init__(self) -> None:
        self.exit, self.entrance = os.pipe()

    def wait(self) -> None:
        os.close(self.entrance)
        os.read(self.exit, 1)

    def open(self) -> None:
        os.write(self.entrance, b".")
        os.close(self.entrance)
        os.close(self.exit)

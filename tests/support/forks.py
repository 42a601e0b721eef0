"""Forks children and waits for them, with a timeout that only ends a hang."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

from support.counters import tally
from support.waiting import TIMEOUT


def fork(call: Callable[[], Any]) -> int:
    """Runs a function in a forked process, which then exits without the interpreter's cleanup.
    Returns its PID.
    """
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


def wait_for_success(pid: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.002)
    assert ended == (pid, 0)
    tally("forks")


def in_a_child(call: Callable[[], Any]) -> None:
    wait_for_success(fork(call))


class Gate:
    """Makes a child wait until its parent opens the gate or ends."""

    def __init__(self) -> None:
        self.exit, self.entrance = os.pipe()

    def wait(self) -> None:
        os.close(self.entrance)
        os.read(self.exit, 1)

    def open(self) -> None:
        os.write(self.entrance, b".")
        os.close(self.entrance)
        os.close(self.exit)

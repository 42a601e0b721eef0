"""However a program exits, all changes of its session are on disk then, and its exit status and
output are as usual.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.contents import everything_is_on_disk
from support.counters import tally
from support.locks import locked_by_another_process
from support.programs import command
from support.waiting import TIMEOUT

pytestmark = pytest.mark.any_release

# The scenarios of `exit_scenarios.py`, with the exit status and the start of the last line on
# stderr. An empty text means no output, and `None` allows any: messages of asyncio, or that the
# program waits for a file.
SCENARIOS: dict[str, tuple[int, str | None]] = {
    "finishes": (0, ""),
    "loop_finishes": (0, ""),
    "loop_in_thread_finishes": (0, ""),
    "exits": (3, ""),
    "exits_in_loop": (3, ""),
    "exits_in_task": (3, None),
    "exits_with_message": (1, "enough"),
    "raises": (1, "ZeroDivisionError"),
    "raises_in_loop": (1, "ZeroDivisionError"),
    "raises_in_thread": (0, "ZeroDivisionError"),
    "raises_before_client_closes": (1, "ZeroDivisionError"),
    "raises_at_exit": (0, "ZeroDivisionError"),
    "raises_late": (0, "ZeroDivisionError"),
    "referenced_by_cycle": (0, ""),
    "referenced_by_module": (0, ""),
    "referenced_by_context": (0, ""),
    "referenced_by_daemon_thread": (0, ""),
    "referenced_by_stopped_loop": (0, None),
    "deleted": (0, ""),
    "garbage_collected": (0, ""),
    "used_after_close": (0, ""),
    "during_flush": (0, ""),
    "during_thread": (0, ""),
    "during_daemon_threads": (0, None),
    "changed_at_exit": (0, ""),
    "changed_late": (0, ""),
    "used_before_and_changed_late": (0, ""),
    "changed_late_in_cycle": (0, ""),
    "changed_late_in_context": (0, ""),
    "saved_late": (0, ""),
    "closed_late": (0, ""),
}
STOPPED: dict[str, tuple[int, str | None]] = {
    "stopped_by_handler": (3, ""),
    "stopped_by_handler_in_loop": (3, ""),
    "stopped_by_loop_handler": (0, ""),
}
INTERRUPTED = dict.fromkeys(["interrupted", "interrupted_in_loop"], (-signal.SIGINT, "KeyboardInterrupt"))


@contextmanager
def run(scenario: str) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("exit_scenarios", scenario), text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def check_exit(process: subprocess.Popen[str], status: int, last_line: str | None) -> None:
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, stderr
    assert not any(word in stderr for word in ("panicked", "Fatal Python error", "fatal runtime error"))
    if last_line is not None:
        assert stderr.rstrip().rpartition("\n")[2].startswith(last_line) if last_line else stderr == ""
    assert everything_is_on_disk()
    tally("exits of programs")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exit(scenario: str) -> None:
    with run(scenario) as process:
        check_exit(process, *SCENARIOS[scenario])


@pytest.mark.skipif(os.name != "posix", reason="on Windows, a signal ends a program at once")
@pytest.mark.parametrize("scenario", STOPPED | INTERRUPTED)
def test_exit_by_a_signal(scenario: str) -> None:
    with run(scenario) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM if scenario in STOPPED else signal.SIGINT)
        check_exit(process, *(STOPPED | INTERRUPTED)[scenario])


def test_exit_waits_for_a_locked_file() -> None:
    with run("announces_exit") as process:
        assert process.stdout.readline() == "open\n"
        with locked_by_another_process() as release:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "exiting\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            release()
        # On a slow machine it may have logged that it waits.
        check_exit(process, 0, None)

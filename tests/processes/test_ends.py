"""However a program ends, all that its session was given is on disk then, and it ends as it would without one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.contents import everything_is_on_disk
from support.counters import tried
from support.locks import held_by_another_program
from support.programs import command
from support.waiting import PATIENCE

pytestmark = pytest.mark.any_release

# The programs of `endings.py`, the status with which each ends, and how the last line that it says begins. Without one
# it says nothing; `None` is whatever asyncio says, or who waits for a file.
WAYS: dict[str, tuple[int, str | None]] = {
    "is_over": (0, ""),
    "loop_is_over": (0, ""),
    "loop_in_a_thread_is_over": (0, ""),
    "exits": (3, ""),
    "exits_in_a_loop": (3, ""),
    "exits_in_a_task": (3, None),
    "exits_with_words": (1, "enough"),
    "raises": (1, "ZeroDivisionError"),
    "raises_in_a_loop": (1, "ZeroDivisionError"),
    "raises_in_a_thread": (0, "ZeroDivisionError"),
    "raises_before_the_client_closes_it": (1, "ZeroDivisionError"),
    "raises_at_exit": (0, "ZeroDivisionError"),
    "raises_late": (0, "ZeroDivisionError"),
    "held_by_a_cycle": (0, ""),
    "held_by_a_module": (0, ""),
    "held_by_a_context": (0, ""),
    "held_by_a_daemon": (0, ""),
    "held_by_a_loop_that_stopped": (0, None),
    "deleted": (0, ""),
    "collected": (0, ""),
    "used_after_close": (0, ""),
    "while_it_is_flushed": (0, ""),
    "while_a_thread_tells": (0, ""),
    "while_daemons_work": (0, None),
    "told_at_exit": (0, ""),
    "told_late": (0, ""),
    "told_late_and_used_before": (0, ""),
    "told_late_and_held_by_a_cycle": (0, ""),
    "told_late_and_held_by_a_context": (0, ""),
    "saved_late": (0, ""),
    "closed_late": (0, ""),
}
STOPPED: dict[str, tuple[int, str | None]] = {
    "stopped_by_a_handler": (3, ""),
    "stopped_by_a_handler_in_a_loop": (3, ""),
    "stopped_by_a_handler_of_the_loop": (0, ""),
}
INTERRUPTED = dict.fromkeys(["interrupted", "interrupted_in_a_loop"], (-signal.SIGINT, "KeyboardInterrupt"))


@contextmanager
def program(way: str) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command("endings", way), text=True, **pipes) as program:
        try:
            yield program
        finally:
            program.kill()


def end(program: subprocess.Popen[str], status: int, last_line: str | None) -> None:
    _, said = program.communicate(timeout=PATIENCE)
    assert program.returncode == status, said
    assert not any(word in said for word in ("panicked", "Fatal Python error", "fatal runtime error"))
    if last_line is not None:
        assert said.rstrip().rpartition("\n")[2].startswith(last_line) if last_line else said == ""
    assert everything_is_on_disk()
    tried("ends of programs")


@pytest.mark.parametrize("way", WAYS)
def test_a_program_ends(way: str) -> None:
    with program(way) as ending:
        end(ending, *WAYS[way])


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a signal ends a program at once")
@pytest.mark.parametrize("way", STOPPED | INTERRUPTED)
def test_a_program_is_stopped(way: str) -> None:
    with program(way) as ending:
        assert ending.stdout.readline() == "told\n"
        ending.send_signal(signal.SIGTERM if way in STOPPED else signal.SIGINT)
        end(ending, *(STOPPED | INTERRUPTED)[way])


def test_a_program_waits_for_a_file_that_another_holds_while_it_ends() -> None:
    with program("says_when_it_ends") as ending:
        assert ending.stdout.readline() == "opened\n"
        with held_by_another_program() as let_go:
            ending.stdin.write("\n")
            ending.stdin.flush()
            assert ending.stdout.readline() == "ends\n"
            with pytest.raises(subprocess.TimeoutExpired):
                ending.wait(1)
            let_go()
        # On a machine that is slow it may have said that it waits.
        end(ending, 0, None)

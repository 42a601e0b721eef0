"""`exclusive=True` on a server: one session at a time, on any machine, also if a process is killed or
stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import entities
from support.programs import command
from support.waiting import until
from telethon_session_rust import SessionInUseError, open_session

# A lease lasts 15 seconds.
PAST_THE_LEASE = 17


@contextmanager
def another_process(location: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a process that has the session open."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command("use_store", location, *options), stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


def is_free(location: str) -> bool:
    try:
        open_session(location, exclusive=True).close()
    except SessionInUseError:
        return False
    return True


def test_a_second_session_is_refused(location: str) -> None:
    with another_process(location, "exclusive") as process:
        with pytest.raises(SessionInUseError) as raised:
            open_session(location, exclusive=True)
        assert raised.value.pid == process.pid
        assert socket.gethostname() in str(raised.value) and str(process.pid) in str(raised.value)
        # A session that does not ask for the lease is not refused.
        other = open_session(location)
        other.process_entities([entities.user(5, 6)])
        other.close()
        process.stdin.write("7\n")
        process.stdin.flush()
        assert process.stdout.readline() == "closed\n"
        # Closing ended the lease, in the background.
        until(lambda: is_free(location))


@pytest.mark.slow
def test_the_lease_of_a_killed_process_expires(location: str) -> None:
    with another_process(location, "exclusive") as process:
        begun = time.monotonic()
        process.kill()
        assert not is_free(location)
        until(lambda: is_free(location))
        # It was renewed at most 5 seconds before.
        assert time.monotonic() - begun > 9


@pytest.mark.slow
def test_a_lease_is_renewed(location: str) -> None:
    with another_process(location, "exclusive"):
        time.sleep(PAST_THE_LEASE)
        assert not is_free(location)


@pytest.mark.slow
def test_a_stopped_process_writes_nothing_after_its_lease(location: str) -> None:
    with another_process(location, "exclusive") as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: is_free(location))
        session = open_session(location, exclusive=True)
        session.process_entities([entities.user(1, 1)])
        session.save()
        process.stdin.write("2\n")
        process.stdin.flush()
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline().startswith("SessionLostError")
        session.close()
    again = open_session(location)
    assert [entity.id for entity in again.entities()] == [1]
    again.close()

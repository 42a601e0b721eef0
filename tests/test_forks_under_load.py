"""Many forks while other threads of the parent use the session: nobody hangs, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from files import dump
from forks_under_load import CROWD, FORKS
from trying import tried

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")


@pytest.mark.parametrize("way", ["one_thread", "two_threads", "pools"])
def test_many_forks(way: str) -> None:
    tests = Path(__file__).parent
    command = [sys.executable, tests / "forks_under_load.py", way]
    environment = os.environ | {"PYTHONPATH": str(tests), "PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}
    with Path("said").open("w") as errors:
        program = subprocess.Popen(command, env=environment, stderr=errors, start_new_session=True)
        try:
            program.wait()
        finally:
            # The children of one that hung, which hold its pipes, are in its session.
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
    said = Path("said").read_text()
    assert program.returncode == 0, said
    assert not any(word in said for word in ("Traceback", "panicked", "Fatal Python error"))
    rows = {row[0]: row for row in dump("anna.session")["entities"]}
    assert sorted(id - 10**6 for id in rows if id >= 10**6) == list(range(FORKS))
    assert len(rows) == len(CROWD) + FORKS
    tried("forks", FORKS)

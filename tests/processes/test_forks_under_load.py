"""Many forks while other threads of the parent use the session: no process hangs, and nothing is
lost.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from support.counters import tally
from support.files import dump
from support.programs import command
from support.programs.forks_under_load import CROWD, FORKS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")]


@pytest.mark.parametrize("scenario", ["one_thread", "two_threads", "pools"])
def test_many_forks(scenario: str) -> None:
    environment = os.environ | {"PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}
    with Path("stderr").open("w") as errors:
        program = subprocess.Popen(
            command("forks_under_load", scenario), env=environment, stderr=errors, start_new_session=True
        )
        try:
            program.wait()
        finally:
            # Ends the children of a hanging program too, which are in its process group.
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
    stderr = Path("stderr").read_text()
    assert program.returncode == 0, stderr
    assert not any(word in stderr for word in ("Traceback", "panicked", "Fatal Python error"))
    rows = {row[0]: row for row in dump("anna.session")["entities"]}
    assert sorted(id - 10**6 for id in rows if id >= 10**6) == list(range(FORKS))
    assert len(rows) == len(CROWD) + FORKS
    tally("forks", FORKS)

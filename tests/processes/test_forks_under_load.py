"""Many forks while other threads of the parent use the session: nobody hangs, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from support.counters import tried
from support.files import dump
from support.programs import command
from support.programs.forks_under_load import CROWD, FORKS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks")]


@pytest.mark.parametrize("way", ["one_thread", "two_threads", "pools"])
def test_many_forks(way: str) -> None:
    environment = os.environ | {"PYTHONWARNINGS": "ignore:This process:DeprecationWarning"}
    with Path("said").open("w") as errors:
        program = subprocess.Popen(
            command("forks_under_load", way), env=environment, stderr=errors, start_new_session=True
        )
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

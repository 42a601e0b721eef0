"""Every test runs in an empty folder, and `HYPOTHESIS_PROFILE` says how long hypothesis may look for trouble."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Verbosity, settings
from telethon.sessions import MemorySession, Session, SQLiteSession, StringSession

from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession
from trying import COUNTS

pytest_plugins = ["clients"]

# Windows has no fork.
collect_ignore = [] if hasattr(os, "fork") else ["test_forks.py"]

# No deadline: no test depends on the speed of the machine.
COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("quick", max_examples=25, stateful_step_count=30, **COMMON)
settings.register_profile("default", max_examples=100, stateful_step_count=50, **COMMON)
settings.register_profile("long", max_examples=500, stateful_step_count=50, verbosity=Verbosity.quiet, **COMMON)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
settings.load_profile(PROFILE)

PAIRS = [
    (MemorySession, RustMemorySession),
    (SQLiteSession, RustSQLiteSession),
    (StringSession, RustStringSession),
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section("what was tried")
        for what, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:>10,} {what}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0].__name__)
def pair(request: pytest.FixtureRequest) -> tuple[type[Session], type[Session]]:
    """A session class of Telethon, and ours that stands in for it."""
    return request.param


@pytest.fixture(params=[ours for _, ours in PAIRS], ids=lambda ours: ours.__name__)
def ours(request: pytest.FixtureRequest) -> type[RustMemorySession]:
    return request.param

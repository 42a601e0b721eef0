"""Runs each test in an empty folder and an isolated environment, and prints how many cases were
tested.
"""
# ruff: noqa: E402

from __future__ import annotations

from support import environment

# Must run before any import that reads the environment.
environment.isolate()

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Verbosity, settings
from telethon.sessions import MemorySession, Session, SQLiteSession, StringSession

from support.counters import COUNTS
from support.profile import PROFILE
from support.servers.community import disconnect_telemongo
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession, tl_reader

pytest_plugins = ["support.clients", "support.libraries", "support.servers.fixtures"]

# Windows has no fork.
collect_ignore = [] if hasattr(os, "fork") else ["processes/test_forks.py"]

# No deadline, because no test depends on the speed of the machine.
COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("quick", max_examples=25, stateful_step_count=30, **COMMON)
settings.register_profile("default", max_examples=100, stateful_step_count=50, **COMMON)
settings.register_profile("long", max_examples=500, stateful_step_count=50, verbosity=Verbosity.quiet, **COMMON)
settings.load_profile(PROFILE)

PAIRS = [
    (MemorySession, RustMemorySession),
    (SQLiteSession, RustSQLiteSession),
    (StringSession, RustStringSession),
]


# Folders of tests that do not depend on the release of Telethon, except for these files.
ANY_RELEASE: dict[str, set[str]] = {
    "command_line": set(),
    "stores": {"test_event_loop.py", "test_store_client.py"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        depending = ANY_RELEASE.get(item.path.parent.name)
        if depending is not None and item.path.name not in depending:
            item.add_marker(pytest.mark.any_release)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Passes a worker's counts to the process that prints them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["counts"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COUNTS.update(Counter(getattr(node, "workeroutput", {}).get("counts", {})))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section("tested cases")
        for what, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:>10,} {what}")


@pytest.fixture(autouse=True)
def native_reader() -> Iterator[None]:
    """Reads natively in every test, unless the environment says otherwise."""
    tl_reader.enable()
    yield


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture(autouse=True)
def no_default_connection() -> Iterator[None]:
    """Closes telemongo's connection, of which a process has one at a time."""
    yield
    disconnect_telemongo()


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0].__name__)
def pair(request: pytest.FixtureRequest) -> tuple[type[Session], type[Session]]:
    """A session class of Telethon, and our replacement."""
    return request.param


@pytest.fixture(params=[ours for _, ours in PAIRS], ids=lambda ours: ours.__name__)
def ours(request: pytest.FixtureRequest) -> type[RustMemorySession]:
    return request.param

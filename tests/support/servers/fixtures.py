"""The fixtures for servers: each kind that is installed, started once for a process of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any, TypeAlias

import pytest

from support import servers

Start: TypeAlias = Callable[[str], servers.Server]


@pytest.fixture(scope="session")
def start_server() -> Iterator[Start]:
    """Returns the running server of a kind. Skips the test if it is not installed."""
    with ExitStack() as running:

        @cache
        def start(kind: str) -> servers.Server:
            return running.enter_context(servers.running(kind))

        def start_or_skip(kind: str) -> servers.Server:
            if not servers.KINDS[kind].is_installed():
                message = f"the server for {kind} is not installed"
                pytest.fail(message) if "REQUIRE_SERVERS" in os.environ else pytest.skip(message)
            return start(kind)

        yield start_or_skip


@pytest.fixture(scope="session", params=servers.KINDS)
def server(request: pytest.FixtureRequest, start_server: Start) -> servers.Server:
    """A server that tests share. Each takes sessions of its own."""
    return start_server(request.param)


@pytest.fixture(scope="session")
def database(server: servers.Server) -> str:
    """The URL of a database on the server."""
    return server.url()


@pytest.fixture
def location(database: str) -> str:
    """The URL of a session that does not exist yet."""
    return f"{database}#{servers.new_name()}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if absent := servers.missing():
        terminalreporter.section("servers that are not installed")
        terminalreporter.write_line(", ".join(absent))

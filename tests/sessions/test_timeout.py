"""`timeout=`: how long a session waits for a file that another program has locked."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from support import entities
from support.contents import KEY
from support.locks import locked_by_another_process
from support.waiting import until
from telethon_session_rust import RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

INVALID = [
    ("5", TypeError),
    (None, TypeError),
    (True, TypeError),
    (Decimal(5), TypeError),
    (math.nan, ValueError),
    (math.inf, ValueError),
    (-1, ValueError),
    (-0.001, ValueError),
]


@pytest.mark.parametrize(("timeout", "error"), INVALID, ids=lambda value: repr(value))
def test_an_invalid_timeout_is_refused(timeout: Any, error: type[Exception]) -> None:
    for make in (
        lambda: RustSQLiteSession("anna", timeout=timeout),
        lambda: RustStringSession(entity_file="anna", timeout=timeout),
    ):
        with pytest.raises(error, match=r"timeout must be a .*number of seconds"):
            make()
    assert not Path("anna.session").exists()


@pytest.mark.parametrize("timeout", [0, 1, 0.25, Fraction(1, 3), 1e300, 5e-324])
def test_valid_timeouts(timeout: Any) -> None:
    session = RustSQLiteSession("anna", timeout=timeout)
    session.auth_key = KEY
    session.close()
    assert session._cursor().execute("pragma busy_timeout").fetchone()[0] == min(int(timeout * 1000), 2**31 - 1)
    session.close()


def open_session(session: Any) -> None:
    RustSQLiteSession(session.filename, timeout=session._timeout)


def open_entity_file(session: Any) -> None:
    RustStringSession(entity_file=session.filename, timeout=session._timeout)


def save_login(session: Any) -> None:
    session.auth_key = KEY
    session.save()


def execute(session: Any) -> None:
    session._execute("select * from entities")


def connect(session: Any) -> None:
    session.process_entities([entities.user(1, 1)])
    session._cursor()


def look_up(session: Any) -> None:
    try:
        session.get_input_entity("older")
    except ValueError as error:
        raise sqlite3.OperationalError("database is locked") from error


WAITING_CALLS = [open_session, open_entity_file, save_login, execute, connect, look_up]


def test_each_call_waits_as_long_as_its_timeout() -> None:
    """Calls with a timeout of 0 fail first, then those with the default, while the longest ones
    still wait.
    """
    results: list[tuple[Callable[[Any], None], float, bool]] = []

    def wait(call: Callable[[Any], None], session: Any) -> None:
        try:
            call(session)
        except sqlite3.OperationalError as error:
            assert "locked" in str(error)
            results.append((call, session._timeout, False))
        else:
            results.append((call, session._timeout, True))

    sessions = []
    for number, call in enumerate(WAITING_CALLS):
        RustSQLiteSession(f"anna_{number}").close()
        for timeout in (0, 5, 600):
            sessions.append((call, RustSQLiteSession(f"anna_{number}", timeout=timeout)))
    # The cache is loaded; then another program adds a row to the file.
    for _, session in sessions:
        until(session._is_loaded)
    for number in range(len(WAITING_CALLS)):
        with closing(sqlite3.connect(f"anna_{number}.session")) as file, file:
            file.execute("insert into entities values (1, 2, 'older', null, null, 1)")
    with ExitStack() as stack:
        for number in range(len(WAITING_CALLS)):
            stack.enter_context(locked_by_another_process(f"anna_{number}.session"))
        threads = [Thread(target=wait, args=arguments) for arguments in sessions]
        for thread in threads:
            thread.start()
        until(lambda: len(results) >= 2 * len(WAITING_CALLS))
        # The files are still locked, and the longest calls still wait.
        assert {timeout for _, timeout, _ in results} == {0, 5}
    for thread in threads:
        thread.join()
    for call in WAITING_CALLS:
        assert [result[1:] for result in results if result[0] is call] == [(0, False), (5, False), (600, True)], (
            call.__name__
        )

"""`timeout=`: how long a file that another program holds is waited for."""

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
from support.locks import held_by_another_program
from support.waiting import until
from telethon_session_rust import RustSQLiteSession, RustStringSession

WRONG = [
    ("5", TypeError),
    (None, TypeError),
    (True, TypeError),
    (Decimal(5), TypeError),
    (math.nan, ValueError),
    (math.inf, ValueError),
    (-1, ValueError),
    (-0.001, ValueError),
]


@pytest.mark.parametrize(("timeout", "error"), WRONG, ids=lambda value: repr(value))
def test_what_is_not_a_number_of_seconds_is_refused(timeout: Any, error: type[Exception]) -> None:
    for make in (
        lambda: RustSQLiteSession("anna", timeout=timeout),
        lambda: RustStringSession(entity_file="anna", timeout=timeout),
    ):
        with pytest.raises(error, match=r"timeout must be a .*number of seconds"):
            make()
    assert not Path("anna.session").exists()


@pytest.mark.parametrize("timeout", [0, 1, 0.25, Fraction(1, 3), 1e300, 5e-324])
def test_numbers_are_taken(timeout: Any) -> None:
    session = RustSQLiteSession("anna", timeout=timeout)
    session.auth_key = KEY
    session.close()
    assert session._cursor().execute("pragma busy_timeout").fetchone()[0] == min(int(timeout * 1000), 2**31 - 1)
    session.close()


def opens(session: Any) -> None:
    RustSQLiteSession(session.filename, timeout=session._timeout)


def opens_for_entities(session: Any) -> None:
    RustStringSession(entity_file=session.filename, timeout=session._timeout)


def saves_the_login(session: Any) -> None:
    session.auth_key = KEY
    session.save()


def executes(session: Any) -> None:
    session._execute("select * from entities")


def connects(session: Any) -> None:
    session.process_entities([entities.user(1, 1)])
    session._cursor()


def looks_up(session: Any) -> None:
    try:
        session.get_input_entity("older")
    except ValueError as error:
        raise sqlite3.OperationalError("database is locked") from error


WAITS = [opens, opens_for_entities, saves_the_login, executes, connects, looks_up]


def test_each_wait_is_as_long_as_it_is_told() -> None:
    """One that does not wait is told before one that waits as ever, and that before one that waits longer."""
    told: list[tuple[Callable[[Any], None], float, bool]] = []

    def wait(call: Callable[[Any], None], session: Any) -> None:
        try:
            call(session)
        except sqlite3.OperationalError as error:
            assert "locked" in str(error)
            told.append((call, session._timeout, False))
        else:
            told.append((call, session._timeout, True))

    sessions = []
    for number, call in enumerate(WAITS):
        RustSQLiteSession(f"anna_{number}").close()
        for timeout in (0, 5, 600):
            sessions.append((call, RustSQLiteSession(f"anna_{number}", timeout=timeout)))
    # Memory knows all, and the file knows more then.
    for _, session in sessions:
        until(session._is_loaded)
    for number in range(len(WAITS)):
        with closing(sqlite3.connect(f"anna_{number}.session")) as file, file:
            file.execute("insert into entities values (1, 2, 'older', null, null, 1)")
    with ExitStack() as stack:
        for number in range(len(WAITS)):
            stack.enter_context(held_by_another_program(f"anna_{number}.session"))
        threads = [Thread(target=wait, args=arguments) for arguments in sessions]
        for thread in threads:
            thread.start()
        until(lambda: len(told) >= 2 * len(WAITS))
        # The file is held still, and the longest wait on.
        assert {timeout for _, timeout, _ in told} == {0, 5}
    for thread in threads:
        thread.join()
    for call in WAITS:
        assert [said[1:] for said in told if said[0] is call] == [(0, False), (5, False), (600, True)], call.__name__

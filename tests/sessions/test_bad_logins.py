"""Files that are named, strings that are read, and logins that are written as nobody should: Telethon's answer, or an
error that is caught as Telethon's is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from telethon.sessions import SQLiteSession, StringSession

from support import edge_values as odd
from support import entities
from support.counters import tried
from support.files import dump, on_disk
from support.outcomes import Outcome, agree, goes_on_working, is_a, outcome
from telethon_session_rust import RustSQLiteSession, RustStringSession

# Where ours does otherwise on purpose, here.
AGREED: dict[str, Callable[[Any, Outcome, Outcome], bool]] = {
    # Telethon asks it for `endswith`.
    "What is no file's name is a TypeError.": lambda value, theirs, ours: (
        not is_a(value, str) and theirs.error is not None and isinstance(ours.error, TypeError)
    ),
    # README promises it. Telethon finds one begin of text in a list or a dict, and then decodes what is no text.
    "What is no string session is a ValueError.": lambda value, theirs, ours: (
        theirs.error is not None and isinstance(ours.error, (ValueError, odd.OwnError))
    ),
    # README promises it; where it is no text, Telethon passes over all of it.
    "What is not base64 throughout is a ValueError.": lambda value, theirs, ours: (
        isinstance(ours.error, ValueError) or (isinstance(theirs.error, odd.OwnError) and is_a(ours.error, TypeError))
    ),
    "A missing address is that of the data centre.": lambda value, theirs, ours: (
        (value is None or (type(value) is str and value == ""))
        and is_a(theirs.error, ValueError)
        and ours.error is None
    ),
    "What does not fit a string is no `struct.error`.": lambda value, theirs, ours: (
        isinstance(theirs.error, struct.error) and isinstance(ours.error, (TypeError, ValueError, OverflowError))
    ),
}


def agree_on(agreed: str, value: Any, *calls: Callable[[Any], Any]) -> bool:
    tried("bad arguments")
    theirs, ours = (outcome(lambda call=call: call(odd.fresh(value))) for call in calls)
    return AGREED[agreed](odd.fresh(value), theirs, ours) or agree("", odd.fresh(value), theirs, ours)


def lives(cls: type, name: Any) -> Any:
    """The life of a session in a file, and what is in the folder then."""
    session = cls(name)
    session.process_entities([entities.user(5, 6)])
    session.save()
    session.close()
    found = session.filename, session.get_entity_rows_by_id(5), sorted(Path().iterdir())
    session.close()
    Path(session.filename).unlink(missing_ok=True)
    return found


NAMES = ["nowhere/anna", "a folder", ".session", ":memory:", "anna\udc80", "a*?.b", "/dev/null/anna", "x" * 10**7]


def test_every_odd_name_of_a_file() -> None:
    Path("a folder.session").mkdir()
    agreed = "What is no file's name is a TypeError."
    calls = partial(lives, SQLiteSession), partial(lives, RustSQLiteSession)
    assert [name for name in [*odd.EVERYTHING, *NAMES] if not agree_on(agreed, name, *calls)] == []


STRING = "1" + "AgECAwQBuw" + "A" * 340 + "A="
STRINGS = ["1", STRING, odd.Text(STRING), STRING.encode(), [*STRING], (*STRING,), {0: "1"}, STRING[:-1] + "\ud800"]
STRINGS += ["1" + "A" * 10**7, "1" + "\0" * 352]


def test_every_odd_string() -> None:
    agreed = "What is no string session is a ValueError."
    calls = (lambda string: StringSession(string).save(), lambda string: RustStringSession(string).save())
    assert [string for string in [*odd.EVERYTHING, *STRINGS] if not agree_on(agreed, string, *calls)] == []


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_every_odd_text_and_bytes(name: str) -> None:
    is_decode = name == "decode"
    agreed = (
        "What is not base64 throughout is a ValueError." if is_decode else "What is no string session is a ValueError."
    )
    calls = getattr(StringSession, name), getattr(RustStringSession, name)
    assert [value for value in odd.EVERYTHING if not agree_on(agreed, value, *calls)] == []


LOGIN = {"dc_id": 2, "server_address": "149.154.167.51", "port": 443, "auth_key": odd.KEY}


def with_login(name: str, value: Any) -> Any:
    """Any object that has a session's attributes."""
    return SimpleNamespace(**LOGIN | ({"auth_key": SimpleNamespace(key=value)} if name == "key" else {name: value}))


@pytest.mark.parametrize("name", [*LOGIN, "key"])
def test_every_odd_login_as_a_string(name: str) -> None:
    is_address = name == "server_address"
    agreed = (
        "A missing address is that of the data centre."
        if is_address
        else "What does not fit a string is no `struct.error`."
    )
    calls = (
        lambda value: StringSession.save(with_login(name, value)),
        lambda value: RustStringSession.save(with_login(name, value)),
    )
    values = [value for value in odd.EVERYTHING if name != "key" or not is_a(value, bytes, str)]
    assert [value for value in values if not agree_on(agreed, value, *calls)] == []


def test_every_odd_session_as_a_string() -> None:
    agreed = "What does not fit a string is no `struct.error`."
    assert [v for v in odd.EVERYTHING if not agree_on(agreed, v, StringSession.save, RustStringSession.save)] == []


@pytest.mark.parametrize("login", [(2, "149.154.167.51", "443"), ("2", "149.154.167.51", 443)])
def test_numbers_as_text(login: tuple[Any, ...]) -> None:
    """As they come out of a configuration or the environment. Telethon's columns make numbers of them."""
    for session in (SQLiteSession("theirs"), RustSQLiteSession("ours")):
        session.set_dc(*login)
        session.auth_key = odd.KEY
        session.close()
    assert dump("ours.session") == dump("theirs.session")


STATEMENTS = ["", " ", ";", "-- nothing", "\0", "select 1\0", "\ud800", "select", "select 1;", "select 1; select 2"]
STATEMENTS += ["select ?", "select * from nowhere", "insert into entities values (1)", "vacuum", "x" * 10**6]
STATEMENTS += ["begin", "begin exclusive", "savepoint here", "commit", "rollback", "release here"]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: repr(statement)[:40])
def test_an_odd_statement(statement: str) -> None:
    """Whatever it has begun, what comes after it is saved."""
    theirs, ours = SQLiteSession("theirs"), RustSQLiteSession("ours")
    answers = [outcome(partial(session._execute, statement)) for session in (theirs, ours)]
    theirs.close()
    assert agree("statement", statement, *answers)
    ours.process_entities([entities.user(5, 6)])
    ours.save()
    assert [row[:2] for row in on_disk(path="ours.session")] == [(5, 6)]
    goes_on_working(ours)
    tried("bad arguments")

"""Invalid file names, session strings, credentials and statements give Telethon's result, or an
error that a handler of Telethon's error catches.
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

from support import edge_values, entities
from support.counters import tally
from support.files import dump, on_disk
from support.outcomes import Outcome, agree, check_usable, is_a, outcome
from telethon_session_rust import RustSQLiteSession, RustStringSession

# Intended differences from Telethon.
DIFFERENCES: dict[str, Callable[[Any, Outcome, Outcome], bool]] = {
    # Telethon calls its `endswith`.
    "An invalid file name is a TypeError.": lambda value, theirs, ours: (
        not is_a(value, str) and theirs.error is not None and isinstance(ours.error, TypeError)
    ),
    # Documented. Telethon accepts a list or dict that begins with "1", and then decodes something
    # that is not a str.
    "An invalid session string is a ValueError.": lambda value, theirs, ours: (
        theirs.error is not None and isinstance(ours.error, (ValueError, edge_values.OwnError))
    ),
    # Documented. Telethon ignores characters that are not base64.
    "A character that is not base64 is a ValueError.": lambda value, theirs, ours: (
        isinstance(ours.error, ValueError)
        or (isinstance(theirs.error, edge_values.OwnError) and is_a(ours.error, TypeError))
    ),
    "A missing address is replaced by the data centre's.": lambda value, theirs, ours: (
        (value is None or (type(value) is str and value == ""))
        and is_a(theirs.error, ValueError)
        and ours.error is None
    ),
    "A value that does not fit a string is not a `struct.error`.": lambda value, theirs, ours: (
        isinstance(theirs.error, struct.error) and isinstance(ours.error, (TypeError, ValueError, OverflowError))
    ),
}


def matches(difference: str, value: Any, *calls: Callable[[Any], Any]) -> bool:
    tally("bad arguments")
    theirs, ours = (outcome(lambda call=call: call(edge_values.fresh(value))) for call in calls)
    return DIFFERENCES[difference](edge_values.fresh(value), theirs, ours) or agree(
        "", edge_values.fresh(value), theirs, ours
    )


def use_file(cls: type, name: Any) -> Any:
    """Opens, saves and closes a session in a file, and returns the result and the content of the
    folder.
    """
    session = cls(name)
    session.process_entities([entities.user(5, 6)])
    session.save()
    session.close()
    found = session.filename, session.get_entity_rows_by_id(5), sorted(Path().iterdir())
    session.close()
    Path(session.filename).unlink(missing_ok=True)
    return found


NAMES = ["nowhere/anna", "a folder", ".session", ":memory:", "anna\udc80", "a*?.b", "/dev/null/anna", "x" * 10**7]


def test_every_edge_value_as_a_file_name() -> None:
    Path("a folder.session").mkdir()
    difference = "An invalid file name is a TypeError."
    calls = partial(use_file, SQLiteSession), partial(use_file, RustSQLiteSession)
    assert [name for name in [*edge_values.EVERYTHING, *NAMES] if not matches(difference, name, *calls)] == []


STRING = "1" + "AgECAwQBuw" + "A" * 340 + "A="
STRINGS = [
    "1",
    STRING,
    edge_values.Text(STRING),
    STRING.encode(),
    [*STRING],
    (*STRING,),
    {0: "1"},
    STRING[:-1] + "\ud800",
]
STRINGS += ["1" + "A" * 10**7, "1" + "\0" * 352]


def test_every_edge_value_as_a_string() -> None:
    difference = "An invalid session string is a ValueError."
    calls = (lambda string: StringSession(string).save(), lambda string: RustStringSession(string).save())
    assert [string for string in [*edge_values.EVERYTHING, *STRINGS] if not matches(difference, string, *calls)] == []


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_every_edge_value_in_encode_and_decode(name: str) -> None:
    is_decode = name == "decode"
    difference = (
        "A character that is not base64 is a ValueError." if is_decode else "An invalid session string is a ValueError."
    )
    calls = getattr(StringSession, name), getattr(RustStringSession, name)
    assert [value for value in edge_values.EVERYTHING if not matches(difference, value, *calls)] == []


LOGIN = {"dc_id": 2, "server_address": "149.154.167.51", "port": 443, "auth_key": edge_values.KEY}


def with_login(name: str, value: Any) -> Any:
    """Returns an object with the attributes of a session."""
    return SimpleNamespace(**LOGIN | ({"auth_key": SimpleNamespace(key=value)} if name == "key" else {name: value}))


@pytest.mark.parametrize("name", [*LOGIN, "key"])
def test_every_edge_value_in_a_saved_login(name: str) -> None:
    is_address = name == "server_address"
    difference = (
        "A missing address is replaced by the data centre's."
        if is_address
        else "A value that does not fit a string is not a `struct.error`."
    )
    calls = (
        lambda value: StringSession.save(with_login(name, value)),
        lambda value: RustStringSession.save(with_login(name, value)),
    )
    values = [value for value in edge_values.EVERYTHING if name != "key" or not is_a(value, bytes, str)]
    assert [value for value in values if not matches(difference, value, *calls)] == []


def test_every_edge_value_as_a_saved_session() -> None:
    difference = "A value that does not fit a string is not a `struct.error`."
    assert [
        v for v in edge_values.EVERYTHING if not matches(difference, v, StringSession.save, RustStringSession.save)
    ] == []


@pytest.mark.parametrize("login", [(2, "149.154.167.51", "443"), ("2", "149.154.167.51", 443)])
def test_integers_as_text(login: tuple[Any, ...]) -> None:
    """Configuration files and the environment contain text, which Telethon's columns convert to
    integers.
    """
    for session in (SQLiteSession("theirs"), RustSQLiteSession("ours")):
        session.set_dc(*login)
        session.auth_key = edge_values.KEY
        session.close()
    assert dump("ours.session") == dump("theirs.session")


STATEMENTS = ["", " ", ";", "-- nothing", "\0", "select 1\0", "\ud800", "select", "select 1;", "select 1; select 2"]
STATEMENTS += ["select ?", "select * from nowhere", "insert into entities values (1)", "vacuum", "x" * 10**6]
STATEMENTS += ["begin", "begin exclusive", "savepoint here", "commit", "rollback", "release here"]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: repr(statement)[:40])
def test_an_invalid_statement(statement: str) -> None:
    """A transaction that it began does not prevent later saves."""
    theirs, ours = SQLiteSession("theirs"), RustSQLiteSession("ours")
    outcomes = [outcome(partial(session._execute, statement)) for session in (theirs, ours)]
    theirs.close()
    assert agree("statement", statement, *outcomes)
    ours.process_entities([entities.user(5, 6)])
    ours.save()
    assert [row[:2] for row in on_disk(path="ours.session")] == [(5, 6)]
    check_usable(ours)
    tally("bad arguments")

"""Compares the outcomes of a call of Telethon's session and ours."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

from telethon.sessions import MemorySession, StringSession
from telethon.tl import TLObject, types

from support import edge_values, entities
from support.reference import ReferenceMemorySession, ReferenceSQLiteSession
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession


class Outcome(NamedTuple):
    result: Any = None
    error: Exception | None = None


def is_a(value: Any, *classes: type) -> bool:
    """Checks the type without reading the value's `__class__`, as `isinstance` would."""
    return issubclass(type(value), classes)


def has_surrogate(value: Any) -> bool:
    return is_a(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def is_compared_by_value(value: Any) -> bool:
    return is_a(value, int, float, str) and type(value).__eq__ in (int.__eq__, float.__eq__, str.__eq__)


def converts_to_number(value: Any, what: str) -> bool:
    if is_a(value, str, int):
        return what == "phone" or (what == "key" and is_a(value, str) and value.isdecimal())
    return hasattr(type(value), "__index__") or (what == "time" and hasattr(type(value), "__float__"))


# The kinds of arguments, and which values are valid for each.
VALID: dict[str, Callable[[Any], bool]] = {
    # A channel's ID must be small enough to become a marked ID.
    "number": lambda value: is_a(value, int) and abs(value) < 2**63 - 10**12,
    "time": lambda value: is_a(value, int, float) and math.isfinite(value),
    "text": lambda value: is_a(value, str) and not has_surrogate(value),
    "phone": lambda value: is_a(value, int, str) and not has_surrogate(value),
    "number or None": lambda value: value is None or VALID["number"](value),
    "text or None": lambda value: value is None or VALID["text"](value),
    "bytes": lambda value: is_a(value, bytes, bytearray, memoryview),
    "value": lambda value: is_a(value, int, float, str, bytes),
    "statement": lambda value: is_a(value, str) and "\0" not in value,
    "class": lambda value: value is types.InputDocument or value is types.InputPhoto,
    "key": lambda value: is_compared_by_value(value) and not has_surrogate(value),
}
# Where ours differs on purpose. No other difference is accepted.
ACCEPTED_DIFFERENCES: dict[str, Callable[[str, Any, Outcome, Outcome], bool]] = {
    # SQLite's columns and sets in memory accept anything, but no lookup finds it, or no other
    # program can read it.
    "Invalid arguments are refused.": lambda what, value, theirs, ours: (
        what in VALID and what != "key" and not VALID[what](value) and isinstance(ours.error, REFUSALS)
    ),
    # numpy's numbers, which `sqlite3` refuses; decimal digits; and phone numbers of any length.
    "Values that convert to a number are accepted as that number.": lambda what, value, theirs, ours: (
        what in VALID
        and converts_to_number(value, what)
        and ours.error is None
        and (theirs.error or not is_a(value, str, int))
    ),
    # Telethon computes a channel's marked ID, which is too large for a file.
    "No entity has an ID that is too large for a channel.": lambda what, value, theirs, ours: (
        what in ("", "key") and isinstance(theirs.error, OverflowError) and type(ours.error) in (type(None), ValueError)
    ),
    # In memory, Telethon uses `==`, which a class may override. Its file session raises errors of
    # `sqlite3` or of `==`.
    "No entity is found by a value that is neither a number nor a text.": lambda what, value, theirs, ours: (
        what == "key" and ours.error is None and (not VALID["key"](value) or isinstance(theirs.error, TypeError))
    ),
    # In memory, Telethon finds any entity if `==` is overridden.
    "Texts are compared by value, not by an overridden `==`.": lambda what, value, theirs, ours: (
        what == "" and is_a(value, str) and not is_compared_by_value(value) and ours.error is None
    ),
    # Telethon's file session raises the error of `sqlite3`.
    "No name contains a surrogate.": lambda what, value, theirs, ours: (
        what in ("", "key")
        and has_surrogate(value)
        and isinstance(theirs.error, UnicodeEncodeError)
        and ours.result is None
        and type(ours.error) in (type(None), ValueError)
    ),
    # Ours does not read `is_self`, because it is not stored, nor the length of a list.
    "Attributes that are not needed are not read.": lambda what, value, theirs, ours: (
        ours.error is None and (what == "is_self" or str(theirs.error) == "__len__")
    ),
}
# Errors of `sqlite3`, of the clock, or of the value itself; and errors that ours may raise instead.
INCIDENTAL_ERRORS = (
    sqlite3.Error,
    sqlite3.Warning,
    OSError,
    OverflowError,
    UnicodeEncodeError,
    BufferError,
    edge_values.OwnError,
)
REFUSALS = (sqlite3.Error, OSError, TypeError, ValueError, OverflowError, edge_values.OwnError)


def outcome(call: Callable[[], Any], value: Any = ...) -> Outcome:
    try:
        return Outcome(normalise(call(), value))
    except Exception as error:
        return Outcome(error=error)
    except BaseException as error:
        raise AssertionError("not an Exception") from error


def normalise(result: Any, value: Any = ...) -> Any:
    """Returns a result in a form that can be compared, whatever it contains."""
    if result is value:
        return "the value itself"
    if is_a(result, TLObject):
        names = list(signature(type(result).__init__).parameters)[1:]
        return type(result), [normalise(getattr(result, name, "missing"), value) for name in names]
    if type(result) in (list, tuple):
        return [normalise(item, value) for item in result]
    if is_a(result, float):
        return repr(float(result))
    if is_a(result, MemorySession, RustMemorySession):
        return "a session"
    return result if is_a(result, int, str, bytes, type(None)) else type(result)


def agree(what: str, value: Any, theirs: Outcome, ours: Outcome) -> bool:
    """Returns `True` if the outcomes agree. `what` is the kind of argument, a key of `VALID`, or
    empty.
    """
    if any(is_accepted(what, value, theirs, ours) for is_accepted in ACCEPTED_DIFFERENCES.values()):
        return True
    if theirs.error is None or ours.error is None:
        return ours == theirs
    is_incidental = what in VALID and isinstance(theirs.error, INCIDENTAL_ERRORS) and isinstance(ours.error, REFUSALS)
    return is_incidental or isinstance(ours.error, type(theirs.error))


class ReferenceStringSession(ReferenceMemorySession, StringSession): ...


SESSIONS = {
    "memory": (ReferenceMemorySession, RustMemorySession),
    "SQLite": (ReferenceSQLiteSession, RustSQLiteSession),
    "string": (ReferenceStringSession, RustStringSession),
}
LOGIN = {"auth_key": edge_values.KEY, "takeout_id": 5}


def with_login(session: Any, name: str, value: Any) -> Any:
    setattr(session, name, value)
    return getattr(session, name)


def with_dc(session: Any, dc_id: Any = 2, address: Any = "149.154.167.51", port: Any = 443) -> Any:
    session.set_dc(dc_id, address, port)
    return session.dc_id, session.server_address, session.port


def check_usable(session: Any) -> None:
    if not isinstance(session, RustStringSession):
        session.save()
        session.close()
    session.save_entities = True
    session.process_entities([entities.user(10**6, 7, username="afterwards")])
    assert session.get_input_entity("afterwards") == types.InputPeerUser(10**6, 7)
    # As in Telethon, a refused value is kept as an attribute. It is refused again until it is
    # replaced.
    setters = [with_dc, *(partial(with_login, name=name, value=value) for name, value in LOGIN.items())]
    for setter in setters:
        with suppress(Exception):
            setter(session)
    for setter in setters:
        setter(session)
    session.save()
    session.close()
    assert {name: getattr(session, name) for name in LOGIN} == LOGIN

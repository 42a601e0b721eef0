"""What Telethon's session and ours make of one call, and whether they agree."""

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
    answer: Any = None
    error: Exception | None = None


def is_a(value: Any, *classes: type) -> bool:
    """`isinstance` would ask the value itself."""
    return issubclass(type(value), classes)


def is_half_a_character(value: Any) -> bool:
    return is_a(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def is_compared_by_value(value: Any) -> bool:
    return is_a(value, int, float, str) and type(value).__eq__ in (int.__eq__, float.__eq__, str.__eq__)


def says_a_number(value: Any, what: str) -> bool:
    if is_a(value, str, int):
        return what == "phone" or (what == "key" and is_a(value, str) and value.isdecimal())
    return hasattr(type(value), "__index__") or (what == "time" and hasattr(type(value), "__float__"))


# What an argument is meant for, and what fits it.
FITS: dict[str, Callable[[Any], bool]] = {
    # A channel's id must leave room for the mark.
    "number": lambda value: is_a(value, int) and abs(value) < 2**63 - 10**12,
    "time": lambda value: is_a(value, int, float) and math.isfinite(value),
    "text": lambda value: is_a(value, str) and not is_half_a_character(value),
    "phone": lambda value: is_a(value, int, str) and not is_half_a_character(value),
    "number or None": lambda value: value is None or FITS["number"](value),
    "text or None": lambda value: value is None or FITS["text"](value),
    "bytes": lambda value: is_a(value, bytes, bytearray, memoryview),
    "value": lambda value: is_a(value, int, float, str, bytes),
    "statement": lambda value: is_a(value, str) and "\0" not in value,
    "class": lambda value: value is types.InputDocument or value is types.InputPhoto,
    "key": lambda value: is_compared_by_value(value) and not is_half_a_character(value),
}
# Where ours does otherwise on purpose. Nothing else may differ.
AGREED: dict[str, Callable[[str, Any, Outcome, Outcome], bool]] = {
    # SQLite's columns take anything, and so do sets in memory; no lookup finds it, or no other program can read it.
    "What does not fit is refused.": lambda what, value, theirs, ours: (
        what in FITS and what != "key" and not FITS[what](value) and isinstance(ours.error, REFUSALS)
    ),
    # numpy's numbers, which `sqlite3` refuses; digits; and a phone number, which is no number, of any length.
    "What says a number is that number.": lambda what, value, theirs, ours: (
        what in FITS
        and says_a_number(value, what)
        and ours.error is None
        and (theirs.error or not is_a(value, str, int))
    ),
    # Telethon makes of it the channel's marked id, which is none that a file could hold.
    "Nobody has an id that is too large for a channel's.": lambda what, value, theirs, ours: (
        what in ("", "key") and isinstance(theirs.error, OverflowError) and type(ours.error) in (type(None), ValueError)
    ),
    # Telethon's memory asks `==`, which a class may override; its file raises what `sqlite3` or a comparison does.
    "Nobody is known by what is no number and no text.": lambda what, value, theirs, ours: (
        what == "key" and ours.error is None and (not FITS["key"](value) or isinstance(theirs.error, TypeError))
    ),
    # Telethon's memory finds anybody then.
    "A text is what it says, not what its `==` says.": lambda what, value, theirs, ours: (
        what == "" and is_a(value, str) and not is_compared_by_value(value) and ours.error is None
    ),
    # Telethon's file raises what `sqlite3` does.
    "Half a character is in nobody's name.": lambda what, value, theirs, ours: (
        what in ("", "key")
        and is_half_a_character(value)
        and isinstance(theirs.error, UnicodeEncodeError)
        and ours.answer is None
        and type(ours.error) in (type(None), ValueError)
    ),
    # Whether an entity is oneself, who is stored as anybody is; and how long a list is.
    "What is not needed is not looked at.": lambda what, value, theirs, ours: (
        ours.error is None and (what == "is_self" or str(theirs.error) == "__len__")
    ),
}
# Raised by the binding of `sqlite3`, by the clock, or by the value when that looks at it; and what says as much.
ACCIDENTS = (
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
        return Outcome(seen(call(), value))
    except Exception as error:
        return Outcome(error=error)
    except BaseException as error:
        raise AssertionError("no user catches this") from error


def seen(answer: Any, value: Any = ...) -> Any:
    """An answer in a form that can be compared, whatever is in it."""
    if answer is value:
        return "the value itself"
    if is_a(answer, TLObject):
        names = list(signature(type(answer).__init__).parameters)[1:]
        return type(answer), [seen(getattr(answer, name, "missing"), value) for name in names]
    if type(answer) in (list, tuple):
        return [seen(item, value) for item in answer]
    if is_a(answer, float):
        return repr(float(answer))
    if is_a(answer, MemorySession, RustMemorySession):
        return "a session"
    return answer if is_a(answer, int, str, bytes, type(None)) else type(answer)


def agree(what: str, value: Any, theirs: Outcome, ours: Outcome) -> bool:
    """Whether both say the same. `what` the value is meant for is one of `FITS`, or nothing that anything fits."""
    if any(is_agreed(what, value, theirs, ours) for is_agreed in AGREED.values()):
        return True
    if theirs.error is None or ours.error is None:
        return ours == theirs
    is_accident = what in FITS and isinstance(theirs.error, ACCIDENTS) and isinstance(ours.error, REFUSALS)
    return is_accident or isinstance(ours.error, type(theirs.error))


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


def goes_on_working(session: Any) -> None:
    if not isinstance(session, RustStringSession):
        session.save()
        session.close()
    session.save_entities = True
    session.process_entities([entities.user(10**6, 7, username="afterwards")])
    assert session.get_input_entity("afterwards") == types.InputPeerUser(10**6, 7)
    # What was refused is kept as an attribute, as Telethon keeps it, and refused again until there is another.
    setters = [with_dc, *(partial(with_login, name=name, value=value) for name, value in LOGIN.items())]
    for setter in setters:
        with suppress(Exception):
            setter(session)
    for setter in setters:
        setter(session)
    session.save()
    session.close()
    assert {name: getattr(session, name) for name in LOGIN} == LOGIN

"""For any argument, a session gives Telethon's result or raises an error that a handler of
Telethon's error catches.

It does not panic, which no `except Exception` would catch, and it still works afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from telethon.tl import types

from support import edge_values, entities
from support.counters import tally
from support.outcomes import SESSIONS, Outcome, agree, check_usable, is_a, outcome, with_dc, with_login
from support.reference import HAS_TMP_AUTH_KEY

FEW = settings(max_examples=settings().max_examples // 4)
# From Python 3.12 on, `sqlite3` warns about `datetime`.
pytestmark = pytest.mark.filterwarnings("ignore:The default datetime adapter")


STATE = {"pts": 1, "qts": 2, "date": entities.DATE, "seq": 3, "unread_count": 0}
FILE = {"id": 1, "access_hash": 2, "file_reference": b""}


def with_state(session: Any, id: Any = 1, **fields: Any) -> Any:
    session.set_update_state(id, types.updates.State(**STATE | fields))
    return session.get_update_state(id)


def with_file(session: Any, digest: Any = b"2", size: Any = 1, **fields: Any) -> None:
    session.cache_file(digest, size, types.InputDocument(**FILE | fields))
    # A hit is a TypeError in every release.
    session.get_file(b"missing", 1, types.InputDocument)


def saving_entities(session: Any, value: Any) -> Any:
    session.save_entities = value
    session.process_entities([entities.user(3, 4)])
    return session.get_entity_rows_by_id(3)


def clone_to(session: Any, value: Any) -> Any:
    try:
        return session.clone(value)
    finally:
        if is_a(value, type):
            # clone() has set save_entities on the class, and thus on all its instances.
            with suppress(AttributeError, TypeError):
                del value.save_entities


Call = Callable[[Any, Any], Any]
CALLS: dict[str, tuple[str, Call]] = {
    "get_input_entity": ("", lambda session, value: session.get_input_entity(value)),
    "rows by id": ("key", lambda session, value: session.get_entity_rows_by_id(value)),
    "rows by any id": ("key", lambda session, value: session.get_entity_rows_by_id(value, exact=False)),
    "rows by id, exact": ("", lambda session, value: session.get_entity_rows_by_id(7, value)),
    "rows by username": ("key", lambda session, value: session.get_entity_rows_by_username(value)),
    "rows by phone": ("key", lambda session, value: session.get_entity_rows_by_phone(value)),
    "rows by name": ("key", lambda session, value: session.get_entity_rows_by_name(value)),
    "process_entities": ("", lambda session, value: session.process_entities(value)),
    "save_entities": ("", saving_entities),
    "data centre": ("number", lambda session, value: with_dc(session, dc_id=value)),
    "address": ("text or None", lambda session, value: with_dc(session, address=value)),
    "port": ("number or None", lambda session, value: with_dc(session, port=value)),
    "key": ("", lambda session, value: with_login(session, "auth_key", value)),
    "key bytes": ("bytes", lambda session, value: with_login(session, "auth_key", SimpleNamespace(key=value))),
    "takeout": ("number or None", lambda session, value: with_login(session, "takeout_id", value)),
    "dc_id": ("", lambda session, value: with_login(session, "dc_id", value)),
    "get_update_state": ("number", lambda session, value: session.get_update_state(value)),
    "update state": ("", lambda session, value: session.set_update_state(1, value)),
    "state id": ("number", lambda session, value: with_state(session, id=value)),
    "pts": ("number or None", lambda session, value: with_state(session, pts=value)),
    "qts": ("number or None", lambda session, value: with_state(session, qts=value)),
    "seq": ("number or None", lambda session, value: with_state(session, seq=value)),
    "date": ("", lambda session, value: with_state(session, date=value)),
    "time": ("time", lambda session, value: with_state(session, date=SimpleNamespace(timestamp=lambda: value))),
    "sent file": ("", lambda session, value: session.cache_file(b"1" * 16, 1, value)),
    "digest": ("bytes", lambda session, value: with_file(session, digest=value)),
    "size": ("number", lambda session, value: with_file(session, size=value)),
    "file id": ("number", lambda session, value: with_file(session, id=value)),
    "file access hash": ("number", lambda session, value: with_file(session, access_hash=value)),
    "get_file, digest": ("bytes", lambda session, value: session.get_file(value, 1, types.InputDocument)),
    "get_file, size": ("number", lambda session, value: session.get_file(b"1" * 16, value, types.InputDocument)),
    "get_file, class": ("class", lambda session, value: session.get_file(b"1" * 16, 1, value)),
    "clone": ("", clone_to),
    "save": ("", lambda session, value: session.save(value)),
    "close": ("", lambda session, value: session.close(value)),
    "delete": ("", lambda session, value: session.delete(value)),
    "list_sessions": ("", lambda session, value: session.list_sessions(value)),
    "_execute, statement": ("statement", lambda session, value: session._execute(value)),
    "_execute, value": ("value", lambda session, value: session._execute("select ?", value)),
}
if HAS_TMP_AUTH_KEY:
    CALLS["temporary key"] = "", lambda session, value: with_login(session, "tmp_auth_key", value)


def outcomes(kind: str, name: str, value: Any) -> tuple[str, Any, Outcome, Outcome]:
    """Returns the outcomes with Telethon's session and with ours."""
    what, call = CALLS[name]

    def outcome_of(session: Any) -> Outcome:
        session.process_entities([entities.user(1, 2, username="anna", phone="1", first_name="anna"), entities.chat(7)])
        session.set_update_state(1, types.updates.State(**STATE))
        session.cache_file(b"1" * 16, 1, types.InputDocument(**FILE))
        argument = edge_values.fresh(value)
        return outcome(lambda: call(session, argument), argument)

    theirs, ours = (session() for session in SESSIONS[kind])
    both = outcome_of(theirs), outcome_of(ours)
    check_usable(ours)
    tally("bad arguments")
    return what, edge_values.fresh(value), *both


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("name", CALLS)
def test_every_edge_value(kind: str, name: str) -> None:
    results = (outcomes(kind, name, value) for value in edge_values.EVERYTHING)
    assert [(value, *both) for what, value, *both in results if not agree(what, value, *both)] == []


@FEW
@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("name", CALLS)
@given(value=edge_values.values)
def test_any_argument(kind: str, name: str, value: Any) -> None:
    assert agree(*outcomes(kind, name, value))

"""Any value in any field of an entity, and any value in the place of entities: a page is stored as
Telethon stores it, or not at all, and the session still works afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import edge_values, entities
from support.clock import second_of
from support.counters import tally
from support.files import dump, on_disk
from support.outcomes import SESSIONS, Outcome, agree, check_usable, outcome
from telethon_session_rust import RustMemorySession, RustSQLiteSession

NAMES = {"first_name": "text", "last_name": "text", "username": "text", "phone": "phone"}
# The kind of value that each field expects, a key of `FITS`.
CLASSES: dict[type, dict[str, str]] = {
    types.User: {"id": "number", "access_hash": "number", "min": "", "is_self": "is_self", **NAMES},
    types.Channel: {"id": "number", "access_hash": "number", "min": "", "title": "text", "username": "text"},
    types.Chat: {"id": "number", "title": "text"},
    types.ChannelForbidden: {"id": "number", "access_hash": "number", "title": "text"},
    types.ChatForbidden: {"id": "number", "title": "text"},
    types.InputPeerUser: {"user_id": "number", "access_hash": "number"},
    types.InputPeerChannel: {"channel_id": "number", "access_hash": "number"},
    types.InputPeerChat: {"chat_id": "number"},
    types.InputUser: {"user_id": "number", "access_hash": "number"},
    # A subclass does not use the fast path of `User`.
    type("OwnUser", (types.User,), {}): {"id": "number", "access_hash": "number", **NAMES},
}
DEFAULTS = {"id": 5, "user_id": 5, "channel_id": 5, "chat_id": 5, "access_hash": 6, "title": "Title", "photo": None}
DEFAULTS |= {"date": None, "participants_count": 1, "version": 1, "first_name": "First", "last_name": "Last"}
DEFAULTS |= {"username": "Name", "phone": "55"}
FIELDS = {f"{cls.__name__}.{name}": (cls, name) for cls, fields in CLASSES.items() for name in fields}
BEFORE, AFTER = entities.user(8, 8, first_name="before"), entities.user(9, 9, first_name="after")


def make_entity(cls: type, **fields: Any) -> Any:
    arguments = cls.__init__.__code__.co_varnames[1 : cls.__init__.__code__.co_argcount]
    return cls(**{name: value for name, value in DEFAULTS.items() if name in arguments} | fields)


def rows(session: Any) -> list[Any]:
    if not hasattr(session, "_execute"):
        # A phone that is an int is stored as its digits, as in the file.
        numbers = {row[0]: int.__repr__(row[3]) for row in session._entities if isinstance(row[3], int)}
        return sorted((*row[:3], numbers.get(row[0], row[3]), row[4]) for row in session._entities)
    (count,) = session._execute("select count(*) from entities")
    statement = "select id, hash, username, phone, name from entities order by id limit 1 offset ?"
    return [session._execute(statement, at) for at in range(count)]


def outcomes(kind: str, make: Callable[[], Any]) -> tuple[Outcome, Outcome]:
    """Returns the rows, or the error, of both sessions after a page. If ours raises, its rows must
    be unchanged.
    """

    def outcome_of(session: Any) -> Outcome:
        session.process_entities([entities.user(5, 1, first_name="known"), entities.chat(7)])
        before, page = rows(session), make()
        result = outcome(lambda: session.process_entities(page))
        assert result.error is None or session is theirs or rows(session) == before
        return result if result.error else outcome(lambda: rows(session))

    theirs, ours = (session() for session in SESSIONS[kind])
    both = outcome_of(theirs), outcome_of(ours)
    check_usable(ours)
    tally("bad arguments")
    return both


def outcomes_of_field(kind: str, field: str, value: Any) -> tuple[str, Any, Outcome, Outcome]:
    (cls, name), value = FIELDS[field], edge_values.fresh(value)
    return CLASSES[cls][name], value, *outcomes(kind, lambda: [BEFORE, make_entity(cls, **{name: value}), AFTER])


@pytest.mark.parametrize("kind", ["memory", "SQLite"])
@pytest.mark.parametrize("field", FIELDS)
def test_every_edge_value_in_a_field(kind: str, field: str) -> None:
    results = (outcomes_of_field(kind, field, value) for value in edge_values.EVERYTHING)
    assert [both for both in results if not agree(*both)] == []


@pytest.mark.parametrize("kind", ["memory", "SQLite"])
@given(field=st.sampled_from(sorted(FIELDS)), value=edge_values.values)
def test_any_value_in_a_field(kind: str, field: str, value: Any) -> None:
    assert agree(*outcomes_of_field(kind, field, value))


@pytest.mark.parametrize("kind", ["memory", "SQLite"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field(kind: str, field: str) -> None:
    cls, name = FIELDS[field]

    def page() -> list[Any]:
        entity = make_entity(cls)
        delattr(entity, name)
        return [BEFORE, entity, AFTER]

    assert agree(CLASSES[cls][name], None, *outcomes(kind, page))


@pytest.mark.parametrize("kind", ["memory", "SQLite"])
@pytest.mark.parametrize("half", ["", "\ud800"])
def test_texts_of_every_script_and_length(kind: str, half: str) -> None:
    """The long ones exceed what is encoded together."""

    def page() -> list[Any]:
        letters = ["a", "Z", "é", "Я", "語", "😀"]
        texts = [letter * length for length in (1, 7, 8, 16, 17, 127, 128, 129, 3000) for letter in letters]
        fields = ("first_name", "last_name", "username")
        named = (dict.fromkeys(fields, text) for text in [*texts, "", "aЯ", "Яa", half])
        users = [make_entity(types.User, **names, id=number) for number, names in enumerate(named, 10)]
        return [BEFORE, *users, *(make_entity(types.Chat, title=text, id=len(text)) for text in texts), AFTER]

    assert agree("text", half, *outcomes(kind, page))


def containers(value: Any) -> dict[str, Any]:
    return {
        "users": SimpleNamespace(users=value),
        "chats": SimpleNamespace(chats=value, users=[AFTER]),
        "user": SimpleNamespace(user=value),
        "chat": SimpleNamespace(user=BEFORE, chat=value),
        "resolved peer": entities.resolved_peer(chats=[BEFORE], users=value),
        "updates": types.Updates(updates=value, users=value, chats=[BEFORE], date=None, seq=0),
        "list": [BEFORE, value, AFTER],
        "generator": (entity for entity in (BEFORE, value, AFTER)),
        "dict": {"users": value},
    }


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("container", containers(None))
def test_every_edge_value_in_the_place_of_entities(kind: str, container: str) -> None:
    results = (
        (value, *outcomes(kind, lambda value=value: containers(edge_values.fresh(value))[container]))
        for value in edge_values.EVERYTHING
    )
    assert [both for both in results if not agree("", *both)] == []


USES: dict[str, Callable[[Any, list[Any]], Any]] = {
    "this page": lambda session, page: session.process_entities(page),
    "another page": lambda session, page: session.process_entities([entities.user(11, 11)]),
    "a lookup": lambda session, page: session.get_input_entity("known"),
    "save": lambda session, page: session.save(),
    "close": lambda session, page: session.close(),
    "delete": lambda session, page: session.delete(),
    "garbage collection": lambda session, page: gc.collect(),
}


def use_while_reading(session: Any, use: Callable[[Any, list[Any]], Any]) -> Any:
    """Processes a page with an entity that uses the session when its attribute is first read."""
    uses = [use]

    class User(types.User):
        @property
        def phone(self) -> Any:
            if uses:
                uses.pop()(session, page)

        @phone.setter
        def phone(self, value: Any) -> None: ...

    session.process_entities([entities.user(5, 6, first_name="known")])
    page = [BEFORE, User(7, access_hash=7), *(entities.user(id, id) for id in range(20, 50))]
    return session.process_entities(page)


@pytest.mark.parametrize("kind", ["memory", "SQLite"])
@pytest.mark.parametrize("use", USES)
def test_an_entity_uses_the_session_while_it_is_read(kind: str, use: str) -> None:
    theirs, ours = (session() for session in SESSIONS[kind])
    for session in (theirs, ours):
        use_while_reading(session, USES[use])
    assert rows(ours) == rows(theirs)
    check_usable(ours)


@pytest.mark.parametrize("session", [RustMemorySession, RustSQLiteSession])
def test_a_list_that_is_emptied_while_it_is_read(session: Any) -> None:
    session = session()
    use_while_reading(session, lambda _, page: page.clear())
    assert session.get_input_entity(7) == types.InputPeerUser(7, 7)
    check_usable(session)


def generator(page: list[Any]) -> Iterator[Any]:
    yield from page


def raise_error(*_: Any) -> None:
    raise edge_values.OwnError


INVALID: dict[str, Callable[[], Any]] = {
    "an id that is too large": lambda: entities.user(2**64, 1),
    "a lone surrogate": lambda: entities.user(5, 6, first_name="\ud800"),
    "a username that is an int": lambda: entities.user(5, 6, username=7),
    "an access hash that is a str": lambda: entities.channel(5, "hash"),
    "an attribute that raises": lambda: make_entity(
        type("Own", (types.User,), {"phone": property(raise_error, lambda *_: None)})
    ),
}


@pytest.mark.parametrize("session", [RustMemorySession, RustSQLiteSession])
@given(
    st.sampled_from(sorted(INVALID)), st.integers(0, 70), st.integers(0, 70), st.sampled_from([list, tuple, generator])
)
def test_nothing_is_stored_of_a_page_with_an_invalid_entity(
    session: Any, invalid: str, before: int, after: int, container: Callable[[list[Any]], Any]
) -> None:
    session = session()
    session.process_entities([entities.user(5, 1, first_name="known")])
    known = rows(session)
    crowd = entities.crowd(before + after)
    page = SimpleNamespace(chats=crowd[:1], users=container([*crowd[:before], INVALID[invalid](), *crowd[before:]]))
    assert outcome(lambda: session.process_entities(page)).error is not None
    assert rows(session) == known
    tally("bad arguments")


def test_the_file_is_unchanged_after_an_invalid_page() -> None:
    session = RustSQLiteSession("anna")
    for make_invalid in INVALID.values():
        with pytest.raises((TypeError, ValueError, OverflowError, AttributeError, edge_values.OwnError)):
            session.process_entities([*entities.crowd(100), make_invalid()])
        session.save()
        assert on_disk() == []
    check_usable(session)
    assert [row[:3] for row in on_disk()] == [(10**6, 7, "afterwards")]


def test_texts_of_ten_megabytes() -> None:
    long = "Я" * 5_000_000
    page = [
        entities.user(1, 1, first_name=long, last_name=long),
        entities.user(2, 2, username=long, phone=long),
        entities.channel(3, 3, title=long + "\0"),
    ]
    theirs, ours = SQLiteSession("theirs"), RustSQLiteSession("ours")
    second_of(lambda: [session.process_entities(page) for session in (theirs, ours)])
    for method, key in [
        ("get_input_entity", f"{long} {long}"),
        ("get_input_entity", f"t.me/{long}"),
        ("get_input_entity", "7" * 10_000_000),
        ("get_entity_rows_by_username", long.lower()),
        ("get_entity_rows_by_phone", long),
        ("get_entity_rows_by_name", long + "\0"),
    ]:
        outcomes_of_call = [outcome(partial(getattr(session, method), key)) for session in (theirs, ours)]
        assert agree("", None, *outcomes_of_call)
    for session in (theirs, ours):
        session.set_dc(2, long, 443)
        session.close()
    assert dump("ours.session") == dump("theirs.session")
    check_usable(ours)

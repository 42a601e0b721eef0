"""Our sessions work wherever Telethon's session classes do: as arguments, with isinstance, copy,
pickle and weakref.
"""

from __future__ import annotations

import copy
import gc
import inspect
import os
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
from telethon import TelegramClient
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession, Session, SQLiteSession, StringSession
from telethon.tl import types

from support import entities
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

Pair = tuple[type[Any], type[Any]]
# Implementation details of Telethon's SQLiteSession.
PRIVATE = ("_abc_impl", "_conn", "_create_table", "_cursor", "_upgrade_database")


@pytest.mark.parametrize(
    ("session", "bases"),
    [
        (RustMemorySession, {Session, MemorySession}),
        (RustSQLiteSession, {Session, MemorySession, SQLiteSession}),
        (RustStringSession, {Session, MemorySession, StringSession}),
    ],
)
def test_isinstance(session: Any, bases: set[type]) -> None:
    classes = (Session, MemorySession, SQLiteSession, StringSession)
    subclass = type("Subclass", (session,), {})
    assert {base for base in classes if isinstance(session(), base)} == bases
    assert {base for base in classes if isinstance(subclass(), base)} == bases
    assert {base for base in classes if issubclass(session, base)} == bases
    # Telethon's sessions are not instances of ours.
    assert not any(isinstance(base(), RustMemorySession) for base in classes[1:])
    assert not inspect.isabstract(session)


async def test_a_client_accepts_it(pair: Pair) -> None:
    theirs, ours = (TelegramClient(base(), 1, "hash").session for base in pair)
    assert isinstance(ours, pair[1])
    ours.save()
    # Some releases set a data centre in the client's constructor, others when it connects.
    assert (ours.dc_id, ours.server_address, ours.port) == (theirs.dc_id, theirs.server_address, theirs.port)
    assert not ours.auth_key


async def test_a_client_keeps_its_data_centre(ours: Any) -> None:
    session = ours()
    session.set_dc(4, "149.154.167.91", 80)
    session.auth_key = AuthKey(bytes(range(256)))
    client = TelegramClient(session, 1, "hash")
    assert (client.session.dc_id, client.session.server_address) == (4, "149.154.167.91")
    assert client.session.auth_key.key == bytes(range(256))


def test_every_public_name_exists(pair: Pair) -> None:
    theirs, ours = (base() for base in pair)
    names = {name for name in dir(theirs) if not name.startswith("_")} - {"_abc_impl"}
    assert names <= set(dir(ours))


def parameters(function: Any) -> list[Any]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


def test_every_signature_matches_telethon(pair: Pair) -> None:
    """Names, order and defaults match, so calls with keyword arguments still work."""
    theirs, ours = (base() for base in pair)
    methods = [name for name in dir(theirs) if name.islower() and callable(getattr(theirs, name))]
    methods = [name for name in methods if name[:2] != "__" and name not in PRIVATE]
    assert len(methods) > 15
    assert {name: parameters(getattr(ours, name)) for name in methods} == {
        name: parameters(getattr(theirs, name)) for name in methods
    }
    expected = inspect.signature(pair[0]).parameters.values()
    actual = inspect.signature(pair[1]).parameters.values()
    # 1.24 to 1.42 have no `store_tmp_auth_key_on_disk`.
    assert [(each.name, each.default) for each in actual][: len(expected)] == [
        (each.name, each.default) for each in expected
    ]


def test_static_and_class_methods(pair: Pair) -> None:
    theirs, ours = pair
    row = (1, 2, "a", "b", "c")
    assert ours._entity_values_to_row(*row) == ours()._entity_values_to_row(*row) == row
    Path("anna.session").touch()
    assert ours.list_sessions() == ours().list_sessions() == theirs.list_sessions()


def test_keyword_arguments(ours: Any) -> None:
    session = ours()
    session.set_dc(dc_id=2, server_address="149.154.167.51", port=443)
    session.process_entities(tlo=[entities.user(5, 6, username="annika", phone="7", first_name="Anna")])
    assert session.get_entity_rows_by_id(id=5, exact=False) == (5, 6)
    assert session.get_entity_rows_by_username(username="annika") == (5, 6)
    assert session.get_entity_rows_by_phone(phone="7") == (5, 6)
    assert session.get_entity_rows_by_name(name="Anna") == (5, 6)
    assert session.get_input_entity(key="annika") == types.InputPeerUser(5, 6)
    session.set_update_state(entity_id=0, state=types.updates.State(1, 2, entities.DATE, 3, 0))
    assert session.get_update_state(entity_id=0).pts == 1
    session.cache_file(md5_digest=b"1" * 16, file_size=1, instance=types.InputPhoto(1, 2, b""))
    assert session.get_file(md5_digest=b"1" * 16, file_size=2, cls=types.InputPhoto) is None
    assert session.clone(to_instance=session) is session


def test_arbitrary_attributes(ours: Any) -> None:
    session = ours()
    session.save_entities, session.anything = False, ["at all"]
    assert (session.save_entities, session.anything) == (False, ["at all"])
    assert vars(session)["anything"] == ["at all"]
    del session.anything
    assert not hasattr(session, "anything")


def test_weak_references(ours: Any) -> None:
    session = ours()
    reference = weakref.ref(session)
    assert reference() is session
    assert {session: 1}[session] == 1
    del session
    gc.collect()
    assert reference() is None


def test_a_cycle_is_collected(ours: Any) -> None:
    """Reference cycles are common: a client and its session, or a session and a callback bound to
    it.
    """
    session = ours()
    session.me, session.save_later = session, session.save
    reference = weakref.ref(session)
    del session
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", ["anna", "anna.session", "a b.c", "Анна", "folder/anna"])
def test_file_names(name: str) -> None:
    Path("folder").mkdir()
    theirs = SQLiteSession(name)
    theirs.close()
    files = sorted(Path().rglob("*.session"))
    for session_id in (name, Path(name), Path(name).absolute()):
        ours = RustSQLiteSession(session_id)
        assert isinstance(ours.filename, str)
        assert Path(ours.filename).absolute() == Path(theirs.filename).absolute()
        ours.close()
    assert sorted(Path().rglob("*.session")) == files
    assert RustSQLiteSession.list_sessions() == SQLiteSession.list_sessions()


@pytest.mark.parametrize("session_id", [None, "", ":memory:"])
def test_names_without_a_file(session_id: str | None) -> None:
    theirs, ours = SQLiteSession(session_id), RustSQLiteSession(session_id)
    assert ours.filename == theirs.filename
    for session in (theirs, ours):
        session.close()
    assert ours.list_sessions() == theirs.list_sessions()


def test_a_missing_folder() -> None:
    with pytest.raises(Exception) as theirs:
        SQLiteSession("nowhere/anna")
    with pytest.raises(type(theirs.value), match=r"nowhere/anna\.session"):
        RustSQLiteSession("nowhere/anna")


def test_changing_the_working_directory(folder: Path) -> None:
    session = RustSQLiteSession("anna")
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    session.process_entities([entities.user(1, 2)])
    session.close()
    assert session.get_input_entity(1) == types.InputPeerUser(1, 2)
    session.close()
    assert [path.name for path in folder.rglob("*.session")] == ["anna.session"]


COPIES = [copy.copy, copy.deepcopy, lambda session: pickle.loads(pickle.dumps(session))]


@pytest.mark.parametrize("make_copy", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("base", [MemorySession, StringSession, RustMemorySession, RustStringSession])
def test_sessions_in_memory_can_be_copied(base: Any, make_copy: Any) -> None:
    session = base()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(bytes(range(256)))
    session.process_entities([entities.user(5, 6, username="annika")])
    session.set_update_state(0, types.updates.State(1, 2, entities.DATE, 3, 0))
    copied = make_copy(session)
    assert type(copied) is base
    assert StringSession.save(copied) == StringSession.save(session)
    assert copied.get_input_entity("annika") == types.InputPeerUser(5, 6)
    assert copied.get_update_state(0).pts == 1


@pytest.mark.parametrize("make_copy", COPIES[1:], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("base", [SQLiteSession, RustSQLiteSession])
def test_sessions_with_a_file_cannot_be_copied(base: Any, make_copy: Any) -> None:
    with pytest.raises(TypeError):
        make_copy(base("anna"))

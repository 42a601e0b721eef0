"""`RustStringSession(string, entity_file=...)`: a session string with its entities in a file
without a login.
"""

from __future__ import annotations

import asyncio
import copy
import os
import stat
from pathlib import Path

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl import types
from telethon.tl.types.updates import State

from support.clients import MakeClient, meet, sign_in
from support.entities import DATE, crowd
from support.files import dump
from support.loopback import DataCentres, World
from support.real_files import DATA
from telethon_session_rust import RustSQLiteSession, RustStringSession

pytestmark = pytest.mark.any_release

CROWD = crowd(50)
KEY = bytes(range(256))


def logged_in(**options: str) -> RustStringSession:
    session = RustStringSession(**options)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(KEY)
    return session


def test_entities_are_restored_and_the_key_is_not_in_the_file() -> None:
    session = logged_in(entity_file="people")
    session.process_entities(CROWD)
    session.set_update_state(0, State(1, 2, DATE, 3, 0))
    session.cache_file(b"digest", 10, types.InputPhoto(5, 6, b""))
    session.takeout_id = 7
    string = session.save()
    assert string == StringSession.save(session) == RustStringSession.save(logged_in())
    # Outside an event loop, everything is on disk when `save()` returns.
    stored = dump("people.session")
    assert len(stored["entities"]) == len(CROWD)
    assert stored["update_state"] and stored["sent_files"]
    session.close()

    file = Path("people.session")
    assert KEY not in file.read_bytes()
    reopened = RustStringSession(string, entity_file=file)
    assert reopened.auth_key.key == KEY and reopened.entity_file == "people.session"
    for entity in CROWD:
        assert reopened.get_input_entity(entity.id)
    assert reopened.get_update_state(0).pts == 1 and [id for id, _ in reopened.get_update_states()] == [0]
    assert len([*reopened.entities()]) == len(CROWD)
    # Telethon reads the file as a session without a login.
    theirs = SQLiteSession("people")
    assert not theirs.auth_key and theirs.get_input_entity(CROWD[0].id) == reopened.get_input_entity(CROWD[0].id)
    theirs.close()
    assert reopened.delete() is True
    assert not file.exists()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX file modes")
def test_only_the_owner_can_read_it() -> None:
    RustStringSession(entity_file="people").close()
    assert stat.S_IMODE(Path("people.session").stat().st_mode) == 0o600


def test_a_file_with_a_login_is_refused_and_unchanged() -> None:
    for session_class in (RustSQLiteSession, SQLiteSession):
        name = f"login_{session_class.__name__}"
        session = session_class(name)
        session.set_dc(2, "149.154.167.51", 443)
        session.auth_key = AuthKey(KEY)
        session.save()
        session.close()
        before = Path(f"{name}.session").read_bytes()
        with pytest.raises(ValueError, match=f"{name}.session holds a login"):
            RustStringSession(entity_file=name)
        assert Path(f"{name}.session").read_bytes() == before


def test_an_older_file_with_a_login_is_not_upgraded(folder: Path) -> None:
    for old in sorted(DATA.glob("*.session")):
        copy_of_old = folder / old.name
        copy_of_old.write_bytes(old.read_bytes())
        with pytest.raises(ValueError, match="holds a login"):
            RustStringSession(entity_file=copy_of_old)
        assert copy_of_old.read_bytes() == old.read_bytes()


def test_without_a_file_nothing_is_written(folder: Path) -> None:
    session = logged_in()
    session.process_entities(CROWD)
    session.save_entities = False
    session.process_entities(crowd(60))
    session.save()
    session.close()
    assert session.delete() is None and session.entity_file is None
    assert len(session._entities) == len(CROWD)
    assert copy.copy(session).get_input_entity(CROWD[0].id)
    assert not list(folder.iterdir())


def test_with_a_file_it_behaves_like_a_file_session() -> None:
    session = RustStringSession(entity_file="people")
    session.save_entities = False
    session.process_entities(CROWD)
    assert not [*session.entities()]
    with pytest.raises(TypeError, match="use its string"):
        copy.copy(session)
    assert session.clone().entity_file is None

    async def in_a_loop() -> None:
        session.save_entities = True
        session.process_entities(CROWD)
        assert session.save() == ""
        await session.flush()
        assert len(dump("people.session")["entities"]) == len(CROWD)

    asyncio.run(in_a_loop())


async def test_a_client_knows_all_entities_after_a_restart(telegram: DataCentres, new_client: MakeClient) -> None:
    account, received = telegram.new_user(), World().crowd(200)
    client = await sign_in(new_client(RustStringSession(entity_file="people")), account)
    await meet(client, telegram, account, received)
    string = client.session.save()
    await client.disconnect()

    client = new_client(RustStringSession(string, entity_file="people"))
    await client.connect()
    assert (await client.get_me()).id == account.id
    for user in received.users:
        assert client.session.get_input_entity(user.id).access_hash == user.access_hash
    await client.log_out()
    assert not Path("people.session").exists()

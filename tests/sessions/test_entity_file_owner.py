"""An entity file remembers whose it is, and refuses another account."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl import types
from telethon.tl.types.updates import State

from support import entities
from support.cli import call
from support.clients import MakeClient, sign_in
from support.files import dump
from support.key_traces import traces
from support.loopback import DataCentres
from support.programs import command
from support.waiting import until
from telethon_session_rust import RustSQLiteSession, RustStringSession, SessionError, SessionOwnerError

pytestmark = pytest.mark.any_release

FIRST, SECOND, THIRD = (AuthKey(bytes((seed * n + 7) % 256 for n in range(256))) for seed in (3, 5, 11))
ANNA, BOB = 1001, 2002
TABLE = "telethon_session_rust_owner"


def string(key: AuthKey) -> str:
    session = StringSession()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = key
    return str(session.save())


def open_file(key: AuthKey | None, name: str = "people") -> RustStringSession:
    return RustStringSession(string(key) if key else None, entity_file=name)


def itself(account: int) -> types.User:
    """The account's own user, as `get_me` receives it."""
    return entities.user(account, account * 3, is_self=True, first_name="Me")


def fill(key: AuthKey, account: int | None = None, name: str = "people") -> None:
    session = open_file(key, name)
    session.process_entities([entities.user(1, 1, username="annika"), *([itself(account)] if account else [])])
    if account:
        # As Telethon's client saves it.
        session.process_entities([types.InputPeerUser(0, account)])
    session.set_update_state(0, State(1, 2, entities.DATE, 3, 0))
    session.save()
    session.close()


def knows(session: Any, username: str = "annika") -> bool:
    try:
        return bool(session.get_input_entity(username))
    except ValueError:
        return False


def marks(path: str = "people.session") -> list[Any]:
    return dump(path).get(TABLE, [])


@pytest.mark.parametrize("account", [ANNA, None])
def test_its_own_string_is_known(account: int | None) -> None:
    fill(FIRST, account)
    for _ in range(2):
        session = open_file(FIRST)
        assert knows(session) and session.get_update_state(0).pts == 1
        session.close()
    ((found, salt, fingerprint),) = marks()
    assert found == account and len(salt) == 16 and len(fingerprint) == 32
    data = Path("people.session").read_bytes()
    assert FIRST.key not in data and not any(piece.encode() in data for piece in traces(FIRST.key))
    # Another file has another fingerprint of the key.
    fill(FIRST, account, "others")
    assert marks("others.session") != marks()


def test_another_login_is_refused_while_the_account_is_not_known(folder: Path) -> None:
    fill(FIRST)
    before = Path("people.session").read_bytes()
    with pytest.raises(
        SessionOwnerError, match=r"people\.session is the entity file of another login.*delete"
    ) as caught:
        open_file(SECOND)
    assert isinstance(caught.value, (SessionError, ValueError))
    assert Path(caught.value.place) == folder / "people.session"
    assert Path("people.session").read_bytes() == before


def test_another_account_is_refused_as_soon_as_it_is_known(caplog: pytest.LogCaptureFixture) -> None:
    fill(FIRST, ANNA)
    before = Path("people.session").read_bytes()
    session = open_file(SECOND)
    # Nothing of the other account is shown, and nothing is written to its file.
    assert not knows(session) and not [*session.entities()]
    assert session.get_update_state(0) is None and not knows(session, 0)
    session.process_entities([entities.user(2, 2, username="bella")])
    session.set_update_state(0, State(9, 2, entities.DATE, 3, 0))
    assert session.save() == string(SECOND)
    with pytest.raises(SessionOwnerError, match=f"account {ANNA}, and this login is another account's"):
        session.process_entities([itself(BOB)])
    # In memory it goes on.
    session.process_entities([itself(BOB)])
    assert knows(session, "bella") and knows(session, BOB) and session.get_update_state(0).pts == 9
    for write in session.save, lambda: asyncio.run(session.flush()):
        with pytest.raises(SessionOwnerError):
            write()
    assert session.delete() is False
    session.close()
    assert Path("people.session").read_bytes() == before
    until(lambda: any("not stored" in record.getMessage() for record in caplog.records))
    session = open_file(FIRST)
    assert knows(session) and not knows(session, "bella")
    session.close()


def test_a_new_login_of_the_account_keeps_it(caplog: pytest.LogCaptureFixture) -> None:
    fill(FIRST, ANNA)
    session = open_file(SECOND)
    session.process_entities([entities.user(2, 2, username="bella")])
    assert not knows(session)
    session.close()
    # It was not known in time.
    until(lambda: any("not stored: 1 entity" in record.getMessage() for record in caplog.records))

    session = open_file(SECOND)
    session.process_entities([entities.user(3, 3, username="carla")])
    session.process_entities(types.contacts.ResolvedPeer(types.PeerUser(ANNA), [], [itself(ANNA)]))
    assert knows(session) and knows(session, "carla") and session.get_update_state(0).pts == 1
    session.close()
    assert sorted(mark[0] for mark in marks()) == [ANNA, ANNA]
    for key in FIRST, SECOND:
        session = open_file(key)
        assert knows(session) and knows(session, "carla") and not knows(session, "bella")
        session.close()


def test_what_the_client_saves_of_itself_shows_the_account() -> None:
    fill(FIRST, ANNA)
    session = open_file(SECOND)
    with pytest.raises(SessionOwnerError):
        session.process_entities([types.InputPeerUser(0, BOB)])
    session.close()
    session = open_file(SECOND)
    session.process_entities([types.InputPeerUser(0, ANNA)])
    assert knows(session)
    session.close()


def test_a_login_that_takes_several_keys() -> None:
    """Signing in begins at one data centre and ends at another."""
    session = open_file(None)
    session.set_dc(2, "149.154.167.51", 443)
    for key in FIRST, SECOND:
        session.auth_key = key
        session.process_entities([entities.user(1, 1, username="annika")])
        session.save()
    assert [mark[0] for mark in marks()] == [None]
    session.process_entities([itself(ANNA)])
    session.close()
    session = open_file(SECOND)
    assert knows(session)
    # A new login in the same session.
    session.auth_key = None
    session.auth_key = THIRD
    assert not knows(session)
    session.process_entities([itself(ANNA)])
    assert knows(session)
    with pytest.raises(SessionOwnerError):
        session.auth_key = FIRST
        session.process_entities([itself(BOB)])
    session.close()
    assert len(marks()) >= 2


def test_an_old_file_works_and_remembers(folder: Path) -> None:
    for account in (None, ANNA):
        old = SQLiteSession("people")
        old.process_entities([entities.user(1, 1, username="annika")])
        if account:
            old.process_entities([types.InputPeerUser(0, account)])
        old.save()
        old.close()
        session = open_file(FIRST)
        assert knows(session)
        session.close()
        assert [mark[0] for mark in marks()] == [account]
        if account is None:
            with pytest.raises(SessionOwnerError):
                open_file(SECOND)
        else:
            session = open_file(FIRST)
            with pytest.raises(SessionOwnerError):
                session.process_entities([itself(BOB)])
            session.close()
        Path("people.session").unlink()


def test_telethon_and_the_command_line_read_it() -> None:
    fill(FIRST, ANNA)
    theirs = SQLiteSession("people")
    assert theirs.get_input_entity("annika").access_hash == 1 and not theirs.auth_key
    theirs.process_entities([entities.user(5, 5, username="emmeline")])
    theirs.save()
    theirs.close()
    checked = call("check", "people")
    assert checked.code == 0 and "not Telethon's" not in checked.out
    assert call("merge", "people", "--into", "merged").code == 0
    assert TABLE not in dump("merged.session")
    assert call("repair", "people").code == 0
    session = open_file(FIRST)
    assert knows(session) and knows(session, "emmeline")
    session.close()
    # A session file never has it.
    asyncio.run(open_file(FIRST).backup("copy"))
    RustSQLiteSession("people").close()
    assert TABLE not in dump("copy.session")


@pytest.mark.parametrize(
    "statement",
    [
        f"create table {TABLE} (something)",
        f"create view {TABLE} as with recursive n(account) as (select 1 union all select account + 1 from n)"
        " select account, x'00' as salt, x'00' as fingerprint from n",
        f"create table {TABLE} (account integer, salt blob, fingerprint blob);"
        f"insert into {TABLE} values ('x', 5, null), (null, zeroblob(100000), zeroblob(100000))",
    ],
)
def test_a_hostile_mark(statement: str) -> None:
    SQLiteSession("people").close()
    with closing(sqlite3.connect("people.session")) as file:
        file.executescript(statement)
    try:
        fill(FIRST, ANNA)
    except (SessionError, sqlite3.Error):
        return
    session = open_file(FIRST)
    assert knows(session)
    session.close()


def test_a_killed_program_leaves_a_whole_mark() -> None:
    for _ in range(3):
        with subprocess.Popen(
            command("open_entity_file", FIRST.key.hex()), stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout.readline() == "open\n"
            program.kill()
        session = open_file(FIRST)
        session.close()
        assert len(marks()) == 1
        with pytest.raises(SessionOwnerError):
            open_file(SECOND)


def test_two_sessions_of_one_account_share_it() -> None:
    fill(FIRST, ANNA)
    one, other = open_file(FIRST), open_file(SECOND)
    other.process_entities([itself(ANNA)])
    one.process_entities([entities.user(7, 7, username="georgina")])
    one.save()
    assert knows(other, "georgina")
    one.close()
    other.close()
    # A file that another account has taken meanwhile is not written.
    session = open_file(THIRD, "new")
    with closing(sqlite3.connect("new.session")) as file:
        file.execute(f"delete from {TABLE}")
        file.commit()
    fill(FIRST, ANNA, "new")
    session.process_entities([entities.user(8, 8)])
    session.save()
    session.close()
    assert 8 not in [row[0] for row in dump("new.session")["entities"]]


async def test_a_client_shows_whose_it_is(telegram: DataCentres, new_client: MakeClient) -> None:
    anna, bob = telegram.new_user(), telegram.new_user()
    strings = {}
    for account in anna, bob:
        client = await sign_in(new_client(RustStringSession(entity_file=f"people_{account.id}")), account)
        strings[account.id] = client.session.save()
        await client.disconnect()
        assert {mark[0] for mark in marks(f"people_{account.id}.session")} == {account.id}
    name = f"people_{anna.id}"
    client = new_client(RustStringSession(strings[bob.id], entity_file=name))
    with pytest.raises(SessionOwnerError):
        # Some releases ask for the account when they connect.
        await client.connect()
        await client.get_me()
    await client.disconnect()
    # A new login of its account.
    client = await sign_in(new_client(RustStringSession(entity_file=name)), anna)
    assert client.session.get_input_entity(anna.id)
    await client.disconnect()
    assert len(marks(f"{name}.session")) == 2

"""`await session.backup(path)` of a session on a server."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from telethon.sessions import SQLiteSession
from telethon.tl.types.updates import State

from support import entities
from support.cli import call
from support.contents import KEY, STATE, populate
from support.files import dump
from telethon_session_rust import RustSQLiteSession, open_session


def test_a_backup_has_everything(location: str) -> None:
    session = open_session(location)
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = KEY
    populate(session)
    session.save()
    session.process_entities([entities.user(1000, 5, username="latest")])
    asyncio.run(session.backup("copy"))
    session.close()
    # One that has not been loaded yet.
    session = open_session(location)
    asyncio.run(session.backup("loaded"))
    session.close()
    assert call("backup", location, "commanded").code == 0
    for name in "copy", "loaded", "commanded":
        theirs = SQLiteSession(name)
        assert theirs.auth_key.key == KEY.key and (theirs.dc_id, theirs.port) == (4, 443)
        assert theirs.get_input_entity("latest").access_hash == 5
        assert theirs.get_update_state(0).to_dict() == STATE.to_dict()
        theirs.close()
        copied = dump(f"{name}.session")
        assert (len(copied["entities"]), len(copied["sent_files"])) == (101, 1)


def test_an_encrypted_login_stays_encrypted(location: str) -> None:
    session = open_session(location, encryption_key=b"k" * 32)
    session.auth_key = KEY
    session.save()
    asyncio.run(session.backup("copy"))
    session.close()
    assert KEY.key not in Path("copy.session").read_bytes()
    ours = RustSQLiteSession("copy", encryption_key=b"k" * 32)
    assert ours.auth_key.key == KEY.key
    ours.close()


def test_it_is_of_one_moment(location: str) -> None:
    session = open_session(location)
    is_over = threading.Event()

    def run() -> None:
        number = 0
        # A few thousand times a second, as no account of Telegram changes.
        while not is_over.wait(0.0002):
            number += 1
            session.process_entities([entities.user(number, number)])
            session.set_update_state(0, State(number, 1, entities.DATE, 1, 0))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(3):
            asyncio.run(session.backup("copy", overwrite=True))
            copied = dump("copy.session")
            ids = sorted(row[0] for row in copied["entities"])
            number = copied["update_state"][0][1] if copied["update_state"] else 0
            assert ids == list(range(1, len(ids) + 1)) and len(ids) - number in (0, 1)
    finally:
        is_over.set()
        thread.join()
    session.close()


def test_a_missing_session(database: str) -> None:
    assert "no such session" in call("backup", f"{database}#nobody", "copy").error
    assert not Path("copy.session").exists()

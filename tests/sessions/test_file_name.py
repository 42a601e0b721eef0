"""`filename` and `store_tmp_auth_key_on_disk` have Telethon's effect when they are set on an
existing session.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.contents import KEY, OTHER_KEY, STATE
from support.files import on_disk
from support.reference import HAS_TMP_AUTH_KEY, ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

both = pytest.mark.parametrize("session_class", [SQLiteSession, RustSQLiteSession], ids=lambda cls: cls.__name__)


def create_file(name: str, id: int, key: Any = None) -> None:
    session = RustSQLiteSession(name)
    session.auth_key = key
    session.process_entities([entities.user(id, 7, username=f"of_{name}")])
    session.set_update_state(id, STATE)
    session.close()


@pytest.mark.parametrize("keys", [(None, None), (KEY, KEY), (KEY, None), (KEY, OTHER_KEY), (None, OTHER_KEY)])
@both
def test_a_new_name_takes_effect_after_close(session_class: type, keys: tuple[Any, Any]) -> None:
    create_file("anna", 1, keys[0])
    create_file("boris", 2, keys[1])
    session = session_class("anna")
    # Until close(), it uses the open file.
    session.filename = "boris.session"
    assert session.get_input_entity("of_anna") == types.InputPeerUser(1, 7)
    session.process_entities([entities.user(3, 7)])
    session.close()
    assert session.get_update_state(2).pts == STATE.pts
    assert session.get_update_state(1) is None
    assert session.get_input_entity("of_boris") == types.InputPeerUser(2, 7)
    with pytest.raises(ValueError, match="Could not find"):
        session.get_input_entity("of_anna")
    session.process_entities([entities.user(4, 7)])
    session.close()
    session.filename = "anna.session"
    assert session.get_input_entity("of_anna") == types.InputPeerUser(1, 7)
    session.close()
    assert sorted(row[0] for row in on_disk(path="anna.session")) == [1, 3]
    assert sorted(row[0] for row in on_disk(path="boris.session")) == [2, 4]
    for path, key in zip(("anna.session", "boris.session"), keys, strict=True):
        assert on_disk("sessions", path)[0][3] == (key.key if key else b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not rename open files")
@both
def test_renaming_the_file_and_the_session(session_class: type) -> None:
    create_file("anna", 1, KEY)
    session = session_class("anna")
    session.close()
    Path("anna.session").rename("boris.session")
    session.filename = "boris.session"
    # A client does this when it reconnects.
    session.auth_key = session.auth_key
    session.process_entities([entities.user(2, 7)])
    session.save()
    session.close()
    assert [path.name for path in Path().iterdir()] == ["boris.session"]
    assert on_disk("sessions", "boris.session")[0][3] == KEY.key
    assert len(on_disk(path="boris.session")) == 2


def test_another_login_is_not_overwritten() -> None:
    """Telethon overwrites it."""
    create_file("anna", 1, KEY)
    create_file("boris", 2, OTHER_KEY)
    session = RustSQLiteSession("anna")
    session.close()
    session.filename = "boris.session"
    session.auth_key = session.auth_key
    with pytest.raises(sqlite3.OperationalError, match=r"boris\.session holds another login"):
        session.save()
    assert on_disk("sessions", "boris.session")[0][3] == OTHER_KEY.key
    # The session keeps its own login, and still refuses the file.
    with pytest.raises(sqlite3.OperationalError):
        session.close()
    with closing(sqlite3.connect("boris.session")) as file, file:
        file.execute("update sessions set auth_key = ?", (KEY.key,))
    session.close()


@pytest.mark.skipif(not HAS_TMP_AUTH_KEY, reason="from 1.43 on")
def test_the_option_for_the_temporary_key_can_be_changed_later() -> None:
    for session_class in (ReferenceSQLiteSession, RustSQLiteSession):
        name = session_class.__name__
        session = session_class(name)
        session.auth_key, session.tmp_auth_key = KEY, OTHER_KEY
        session.save()
        stored = [on_disk("sessions", session.filename)[0][5]]
        session.store_tmp_auth_key_on_disk = True
        session.save()
        stored.append(on_disk("sessions", session.filename)[0][5])
        # It takes effect with the next change of the login.
        session.takeout_id = 7
        session.save()
        stored.append(on_disk("sessions", session.filename)[0][5])
        session.store_tmp_auth_key_on_disk = False
        session.set_dc(2, "149.154.167.51", 443)
        session.close()
        stored.append(on_disk("sessions", session.filename)[0][5])
        assert stored == [b"", b"", OTHER_KEY.key, b""], name
        assert session.tmp_auth_key is None

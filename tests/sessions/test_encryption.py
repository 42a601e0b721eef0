"""Session files with an `encryption_key`: the login's keys are encrypted, and only they."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION

from support.contents import KEY
from support.encryption import (
    ENCRYPTION_KEY,
    OTHER_ENCRYPTION_KEY,
    assert_refused,
    check_login,
    check_rotation,
    is_in_files,
    log_in,
    new_key,
    with_key,
)
from support.files import on_disk
from telethon_session_rust import (
    RustRedisSession,
    RustSQLiteSession,
    RustStringSession,
    SessionCorruptError,
    open_session,
)

pytestmark = pytest.mark.any_release

# Files of older releases have no column for it.
HAS_TMP_KEY = CURRENT_VERSION > 7

open_anna = partial(RustSQLiteSession, "anna")


@pytest.fixture
def key() -> AuthKey:
    """The key of a login that is encrypted in `anna.session`."""
    key = new_key()
    with_key(open_anna, ENCRYPTION_KEY, lambda session: log_in(session, key))
    return key


def test_login() -> None:
    check_login(open_anna)


def test_rotation() -> None:
    check_rotation(open_anna)


@pytest.mark.parametrize("encryption_key", [None, ENCRYPTION_KEY], ids=["plain", "encrypted"])
def test_keys_in_the_file(encryption_key: bytes | None) -> None:
    key, tmp_key = new_key(), new_key()
    session = open_anna(store_tmp_auth_key_on_disk=True, encryption_key=encryption_key)
    session.tmp_auth_key = tmp_key
    log_in(session, key)
    session.tmp_auth_key = tmp_key
    session.save()
    found = [is_in_files(each.key, Path()) for each in (key, tmp_key)]
    session.close()
    is_plain = encryption_key is None
    assert found == [is_in_files(each.key, Path()) for each in (key, tmp_key)] == [is_plain, is_plain and HAS_TMP_KEY]
    session = open_anna(encryption_key=encryption_key)
    assert session.auth_key == key and (session.tmp_auth_key == tmp_key) is HAS_TMP_KEY


def test_a_plain_login_is_nowhere_in_the_file_once_it_is_encrypted() -> None:
    key = new_key()
    with_key(open_anna, None, lambda session: log_in(session, key))
    assert is_in_files(key.key, Path())
    with_key(open_anna, ENCRYPTION_KEY, lambda session: session.save())
    assert not is_in_files(key.key, Path())


def test_wrong_and_missing_keys(key: AuthKey) -> None:
    before = Path("anna.session").read_bytes()
    assert_refused(open_anna, key.key)
    assert_refused(open_anna, key.key, OTHER_ENCRYPTION_KEY)
    # Neither as a file of entities.
    with pytest.raises(ValueError, match="login"):
        RustStringSession(entity_file="anna")
    assert Path("anna.session").read_bytes() == before


@pytest.mark.parametrize("at", [1, 30, 200, -1])
def test_damage(key: AuthKey, at: int) -> None:
    with closing(sqlite3.connect("anna.session")) as file:
        (stored,) = file.execute("select auth_key from sessions").fetchone()
        damaged = bytearray(stored)
        damaged[at] ^= 1
        file.execute("update sessions set auth_key = ?", (damaged,))
        file.commit()
    assert_refused(open_anna, key.key, ENCRYPTION_KEY)


def test_a_file_may_be_renamed_and_copied(key: AuthKey) -> None:
    shutil.copy("anna.session", "berta.session")
    Path("anna.session").rename("clara.session")
    for name in ("berta", "clara"):
        assert RustSQLiteSession(name, encryption_key=ENCRYPTION_KEY).auth_key == key


@pytest.mark.parametrize("before", [None, OTHER_ENCRYPTION_KEY], ids=["plain", "an older key"])
def test_a_backup_has_the_newest_key(before: bytes | None) -> None:
    """Although the session has not been saved with it."""
    key = new_key()
    with closing(open_anna(encryption_key=before)) as session:
        log_in(session, key)
    older = [] if before is None else [before]
    with closing(open_anna(encryption_key=[ENCRYPTION_KEY, *older])) as session:
        asyncio.run(session.backup("copy.session"))
    assert key.key not in Path("copy.session").read_bytes()
    with closing(RustSQLiteSession("copy", encryption_key=ENCRYPTION_KEY)) as copied:
        assert copied.auth_key == key


def test_other_readers_find_the_encrypted_key(key: AuthKey) -> None:
    session = open_anna(encryption_key=ENCRYPTION_KEY)
    stored = on_disk("sessions")[0][3]
    assert session._execute("select auth_key from sessions") == (stored,) != (key.key,)
    assert session._cursor().execute("select auth_key from sessions").fetchone() == (stored,)
    session.close()
    with closing(SQLiteSession("anna")) as theirs:
        assert theirs.auth_key is not None and theirs.auth_key.key == stored


def test_a_login_that_the_caller_sets_by_sql_stays(key: AuthKey) -> None:
    """It is encrypted when it is the session's own."""
    other = new_key()
    session = open_anna(encryption_key=ENCRYPTION_KEY)
    session._execute("update sessions set auth_key = ?", other.key)
    session.save()
    session.close()
    assert on_disk("sessions")[0][3] == other.key
    with_key(open_anna, ENCRYPTION_KEY, lambda session: session.save())
    assert with_key(open_anna, ENCRYPTION_KEY, lambda session: session.auth_key) == other
    assert_refused(open_anna, other.key)


def test_a_file_that_was_replaced_by_another_encrypted_one(key: AuthKey) -> None:
    """It is neither overwritten nor deleted."""
    session = open_anna(encryption_key=ENCRYPTION_KEY)
    other = RustSQLiteSession("other", encryption_key=OTHER_ENCRYPTION_KEY)
    log_in(other, new_key())
    other.close()
    session.close()
    Path("other.session").replace("anna.session")
    before = Path("anna.session").read_bytes()
    session.auth_key = KEY
    with pytest.raises(sqlite3.DatabaseError, match="encryption_key="):
        session.save()
    assert not session.delete()
    assert Path("anna.session").read_bytes() == before


def test_a_program_without_the_key_that_is_running() -> None:
    """It goes on, but does not replace the login by its own."""
    key = new_key()
    running = open_anna()
    log_in(running, key)
    with_key(open_anna, ENCRYPTION_KEY, lambda session: session.save())
    stored = on_disk("sessions")
    running.takeout_id = 5
    with pytest.raises(sqlite3.DatabaseError, match="encryption_key="):
        running.save()
    assert on_disk("sessions") == stored


def test_in_memory_and_by_location() -> None:
    assert RustSQLiteSession(encryption_key=ENCRYPTION_KEY).auth_key is None
    key = new_key()
    with_key(partial(open_session, "anna"), ENCRYPTION_KEY, lambda session: log_in(session, key))
    assert_refused(partial(open_session, "anna"), key.key)


@pytest.mark.parametrize("cls", [RustSQLiteSession, RustRedisSession])
@pytest.mark.parametrize(
    ("encryption_key", "error"),
    [
        (b"", ValueError),
        (b"secret", ValueError),
        (b"secret" * 6, ValueError),
        ([], ValueError),
        ([ENCRYPTION_KEY, b"secret"], ValueError),
        ("secret" * 6, TypeError),
        (["secret"], TypeError),
        ([None], TypeError),
        ([[ENCRYPTION_KEY]], TypeError),
        (5, TypeError),
        ({"secret": ENCRYPTION_KEY}, TypeError),
    ],
)
def test_what_is_not_a_key(cls: Any, encryption_key: Any, error: type[Exception]) -> None:
    # Before a file is created, or a server is asked.
    arguments = ["anna"] if cls is RustSQLiteSession else ["redis://127.0.0.1:1", "anna"]
    with pytest.raises(error, match="encryption_key") as raised:
        cls(*arguments, encryption_key=encryption_key)
    assert type(raised.value) is error and "secret" not in str(raised.value)
    assert not Path("anna.session").exists()


@given(
    st.binary(min_size=1, max_size=400),
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_round_trips(key: bytes, encryption_keys: list[bytes], data: st.DataObject) -> None:
    Path("anna.session").unlink(missing_ok=True)
    with_key(open_anna, encryption_keys, lambda session: log_in(session, AuthKey(key)))
    assert with_key(open_anna, encryption_keys[0], lambda session: session.auth_key.key) == key
    others = data.draw(st.permutations(encryption_keys))
    assert with_key(open_anna, others, lambda session: session.auth_key.key) == key
    if len(encryption_keys) > 1:
        with pytest.raises(SessionCorruptError, match="encryption_key="):
            open_anna(encryption_key=encryption_keys[1:])

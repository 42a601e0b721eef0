"""A session file gives access to the account: only its owner can read it, and no message or `repr`
contains a key.
"""

from __future__ import annotations

import base64
import logging
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from support import entities
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, populate
from support.files import on_disk
from support.key_traces import traces
from support.locks import locked_by_another_process
from support.waiting import until
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

pytestmark = [pytest.mark.any_release, pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


@contextmanager
def open_transaction(session: Any) -> Iterator[None]:
    """Holds a read transaction that prevents the session's commit, so that its journal stays."""
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("begin")
        file.execute("select * from version").fetchall()
        populate(session)
        yield
        file.execute("commit")


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
def test_modes_of_new_files_and_journals(mask: int) -> None:
    with umask(mask):
        session = RustSQLiteSession("anna")
        assert mode_of("anna.session") == 0o600
        with open_transaction(session):
            modes: set[int] = set()

            def journal_has_its_mode() -> bool:
                with suppress(FileNotFoundError):
                    modes.add(mode_of("anna.session-journal"))
                return 0o600 in modes

            until(journal_has_its_mode)
            # SQLite undoes a stricter mask just after it has created the file.
            assert modes <= {0o600, 0o600 & ~mask}
        session.close()
    assert mode_of("anna.session") == 0o600
    assert everything_is_on_disk()


def test_symbolic_links_are_followed_as_in_telethon() -> None:
    modes = {}
    for create in (SQLiteSession, RustSQLiteSession):
        folder = Path(create.__name__)
        folder.mkdir()
        Path(f"{create.__name__}.session").symlink_to(folder / "real")
        with umask(0):
            session = create(create.__name__)
            session.process_entities(entities.crowd(10))
            session.save()
            session.close()
        assert Path(f"{create.__name__}.session").is_symlink()
        assert [path.name for path in folder.iterdir()] == ["real"]
        assert len(on_disk("entities", str(folder / "real"))) == 10
        modes[create] = mode_of(str(folder / "real"))
    assert modes[RustSQLiteSession] == 0o600


def error_texts(session: Any) -> Iterator[str]:
    """Yields the texts of a session and of the errors that it raises."""

    def attempt(call: Any) -> Iterator[str]:
        try:
            call()
        except Exception as error:
            yield f"{error!s} {error!r} {error.args} {getattr(error, '__notes__', '')}"

    yield f"{session!r} {session!s} {session.auth_key!r}"
    for wrong in (b"key", "key", 7, AuthKey(b"short")):
        yield from attempt(lambda wrong=wrong: setattr(session, "auth_key", wrong))
        yield from attempt(session.save)
    session.auth_key = KEY
    yield from attempt(lambda: session.set_dc("a", KEY.key, None))
    yield from attempt(lambda: session.set_dc(2, "1.2.3.4", 2**70))
    yield from attempt(lambda: StringSession.save(session))
    session.set_dc(2, "149.154.167.51", 443)


@pytest.mark.slow
def test_no_text_contains_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    for create in (RustMemorySession, RustStringSession, lambda: RustSQLiteSession("anna")):
        session = create()
        session.auth_key = KEY
        session.set_dc(2, "149.154.167.51", 443)
        texts += error_texts(session)
        session.auth_key = KEY
    string = RustStringSession.save(session)
    assert base64.urlsafe_b64encode(KEY.key[2:50]).decode()[:16] in string
    for cut in (10, 100, 351, 352):
        for invalid in (string[:cut], string + "x" * cut, string[:cut] + "!" + string[cut:], "2" + string):
            with pytest.raises(ValueError) as caught:
                RustStringSession(invalid)
            texts.append(f"{caught.value!s} {caught.value!r}")
    with locked_by_another_process():
        session.auth_key = OTHER_KEY
        with pytest.raises(sqlite3.OperationalError) as locked:
            session.save()
    texts += [str(locked.value), repr(locked.value)]
    session.save()
    with closing(sqlite3.connect("anna.session")) as file, file:
        file.execute("update sessions set port = cast(? as text)", (KEY.key.hex(),))
    with pytest.raises(sqlite3.DatabaseError) as caught:
        RustSQLiteSession("anna")
    texts += [str(caught.value), *(record.getMessage() for record in caplog.records)]
    text = "\n".join(texts)
    assert len(texts) > 30
    assert not [trace for key in (KEY, OTHER_KEY) for trace in traces(key.key) if trace in text]
    assert string[20:40] not in text

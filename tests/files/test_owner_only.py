"""Whoever has the file has the account: files are their owner's alone, and keys are in no text."""

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
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, tell_everything
from support.files import on_disk
from support.key_traces import traces
from support.locks import held_by_another_program
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
def a_transaction_under_way(session: Any) -> Iterator[None]:
    """A reader keeps it from being committed, so its journal is there to be looked at."""
    with closing(sqlite3.connect("anna.session", isolation_level=None)) as file:
        file.execute("begin")
        file.execute("select * from version").fetchall()
        tell_everything(session)
        yield
        file.execute("commit")


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
def test_new_files_and_their_journals(mask: int) -> None:
    with umask(mask):
        session = RustSQLiteSession("anna")
        assert mode_of("anna.session") == 0o600
        with a_transaction_under_way(session):
            modes: set[int] = set()

            def is_seen() -> bool:
                with suppress(FileNotFoundError):
                    modes.add(mode_of("anna.session-journal"))
                return bool(modes)

            until(is_seen)
            assert modes == {0o600}
        session.close()
    assert mode_of("anna.session") == 0o600
    assert everything_is_on_disk()


def test_links_are_followed_as_telethon_does() -> None:
    modes = {}
    for make in (SQLiteSession, RustSQLiteSession):
        folder = Path(make.__name__)
        folder.mkdir()
        Path(f"{make.__name__}.session").symlink_to(folder / "real")
        with umask(0):
            session = make(make.__name__)
            session.process_entities(entities.crowd(10))
            session.save()
            session.close()
        assert Path(f"{make.__name__}.session").is_symlink()
        assert [path.name for path in folder.iterdir()] == ["real"]
        assert len(on_disk("entities", str(folder / "real"))) == 10
        modes[make] = mode_of(str(folder / "real"))
    assert modes[RustSQLiteSession] == 0o600


def troubles(session: Any) -> Iterator[str]:
    """Everything that goes wrong with a session and is said."""

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
def test_keys_are_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    for make in (RustMemorySession, RustStringSession, lambda: RustSQLiteSession("anna")):
        session = make()
        session.auth_key = KEY
        session.set_dc(2, "149.154.167.51", 443)
        texts += troubles(session)
        session.auth_key = KEY
    string = RustStringSession.save(session)
    assert base64.urlsafe_b64encode(KEY.key[2:50]).decode()[:16] in string
    for cut in (10, 100, 351, 352):
        for text in (string[:cut], string + "x" * cut, string[:cut] + "!" + string[cut:], "2" + string):
            with pytest.raises(ValueError) as caught:
                RustStringSession(text)
            texts.append(f"{caught.value!s} {caught.value!r}")
    with held_by_another_program():
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
    said = "\n".join(texts)
    assert len(texts) > 30
    assert not [trace for key in (KEY, OTHER_KEY) for trace in traces(key.key) if trace in said]
    assert string[20:40] not in said

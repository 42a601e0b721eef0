"""`exclusive=True`: one owner, by a lock that ends with its process and affects only sessions that
request it.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.files import dump
from support.programs import command
from telethon_session_rust import RustSQLiteSession, SessionInUseError

pytestmark = pytest.mark.any_release


@contextmanager
def another_owner() -> Any:
    with subprocess.Popen(
        command("open_exclusively"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "open\n"
        try:
            yield program
        finally:
            if program.poll() is None:
                program.communicate()


def test_the_error_names_the_owner() -> None:
    with another_owner() as owner:
        before = Path("anna.session").read_bytes()
        with pytest.raises(SessionInUseError, match=rf"anna\.session is in use by process {owner.pid}") as caught:
            RustSQLiteSession("anna", exclusive=True)
        assert isinstance(caught.value, sqlite3.OperationalError)
        assert caught.value.pid == owner.pid
        assert Path(caught.value.filename) == Path("anna.session").absolute()
        assert Path("anna.session").read_bytes() == before
    RustSQLiteSession("anna", exclusive=True)


def test_the_lock_ends_with_its_process() -> None:
    with another_owner() as owner:
        owner.kill()
        owner.wait()
        RustSQLiteSession("anna", exclusive=True).close()


def test_other_sessions_are_not_locked_out() -> None:
    with another_owner():
        for n, session_class in enumerate([RustSQLiteSession, SQLiteSession]):
            session = session_class("anna")
            session.process_entities([entities.user(n + 1, n)])
            session.save()
            session.close()
    assert len(dump("anna.session")["entities"]) == 2


def test_two_sessions_in_one_process() -> None:
    owner = RustSQLiteSession("anna", exclusive=True)
    with pytest.raises(SessionInUseError) as caught:
        RustSQLiteSession("anna", exclusive=True)
    assert caught.value.pid == os.getpid()
    # Another path to the same file.
    Path("link.session").symlink_to("anna.session")
    with pytest.raises(SessionInUseError):
        RustSQLiteSession("./link", exclusive=True)
    owner.close()
    other = RustSQLiteSession("anna", exclusive=True)
    # A closed session requests the lock again when it is used again.
    owner.process_entities([entities.user(1, 1)])
    with pytest.raises(SessionInUseError, match=r"unsaved|in use"):
        owner.save()
    other.close()
    owner.save()
    owner.close()
    assert len(dump("anna.session")["entities"]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_child_does_not_inherit_the_lock() -> None:
    owner = RustSQLiteSession("anna", exclusive=True)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)  # Until the parent is done.
        os._exit(0)
    os.close(reading)
    owner.close()
    RustSQLiteSession("anna", exclusive=True).close()
    os.close(writing)
    assert os.waitpid(pid, 0)[1] == 0


def test_no_file_is_left() -> None:
    session = RustSQLiteSession("anna", exclusive=True)
    session.process_entities([entities.user(1, 1, username="annika")])
    assert session.get_input_entity("annika") == types.InputPeerUser(1, 1)
    session.close()
    if sys.platform == "linux":
        assert [path.name for path in Path().iterdir()] == ["anna.session"]

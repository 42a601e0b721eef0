"""A session's file or folder is deleted, moved, replaced or made read-only while the session is
open.

The session logs one warning, does not hang, answers from memory, and writes again once the file is
back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.tl import types

from support import entities
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, populate
from support.counters import tally
from support.files import dump, on_disk
from support.log_messages import warnings_in
from support.programs import command
from support.unprivileged import NOBODY
from telethon_session_rust import RustSQLiteSession

pytestmark = [
    pytest.mark.any_release,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be moved"),
]


def create_session(path: str, key: Any) -> bytes:
    Path(path).parent.mkdir(exist_ok=True)
    session = RustSQLiteSession(path)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = key
    session.close()
    return Path(path).read_bytes()


def delete() -> Callable[[], None]:
    data = Path("folder/anna.session").read_bytes()
    Path("folder/anna.session").unlink()
    return lambda: Path("folder/anna.session").write_bytes(data) and None


def move() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    return lambda: Path("elsewhere").rename("folder/anna.session") and None


def move_folder() -> Callable[[], None]:
    Path("folder").rename("gone")
    return lambda: Path("gone").rename("folder") and None


def replace_with_other_login() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    create_session("folder/anna.session", OTHER_KEY)

    def restore() -> None:
        # The session wrote nothing to the other file.
        assert on_disk("sessions", "folder/anna.session")[0][3] == OTHER_KEY.key
        assert on_disk("entities", "folder/anna.session") == []
        Path("elsewhere").replace("folder/anna.session")

    return restore


def replace_without_login() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    create_session("folder/anna.session", None)
    return lambda: Path("elsewhere").replace("folder/anna.session") and None


def replace_with_text() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    Path("folder/anna.session").write_text("not a session")

    def restore() -> None:
        assert Path("folder/anna.session").read_text() == "not a session"
        Path("elsewhere").replace("folder/anna.session")

    return restore


REMOVALS = [
    delete,
    move,
    move_folder,
    replace_with_other_login,
    replace_without_login,
    replace_with_text,
]


# On other systems, SQLite in WAL mode does not notice that a file was removed.
MODES = ["delete", "wal"] if sys.platform == "linux" else ["delete"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("remove", REMOVALS, ids=lambda remove: remove.__name__)
async def test_file_is_removed_or_replaced(
    remove: Callable[[], Callable[[], None]], mode: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create_session("folder/anna.session", KEY)
    with closing(sqlite3.connect("folder/anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")
    session = RustSQLiteSession("folder/anna")
    session.process_entities([entities.user(1, 7, username="before")])
    await session.flush()
    restore = remove()
    populate(session)
    session.save()
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session"):
        await session.flush()
    # Known entities are found, and unknown ones are reported as unknown.
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    for key in ("unknown", "@unknown_too", 10**9):
        with pytest.raises(ValueError, match="Could not find"):
            session.get_input_entity(key)
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session.*unsaved.*100 entities"):
        session.close()
    session.auth_key = OTHER_KEY
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session"):
        session.save()
    session.auth_key = KEY
    # Long enough for the writer to retry.
    await asyncio.sleep(1.5)
    # Sessions of earlier tests may still log that they recovered.
    logged = [message for message in warnings_in(caplog) if str(folder) in message]
    assert len(logged) == 1
    restore()
    while not everything_is_on_disk("folder/anna.session"):
        await asyncio.sleep(0.05)
    session.close()
    assert dump("folder/anna.session")["sessions"][0][3] == KEY.key
    tally("unavailable files")


async def test_a_backup_with_the_same_login_replaces_the_file(caplog: pytest.LogCaptureFixture) -> None:
    create_session("folder/anna.session", KEY)
    session = RustSQLiteSession("folder/anna")
    shutil.copy("folder/anna.session", "backup")
    Path("backup").replace("folder/anna.session")
    populate(session)
    while not everything_is_on_disk("folder/anna.session"):
        await asyncio.sleep(0.05)
    session.close()


def test_a_session_can_be_used_after_it_deleted_its_file() -> None:
    session = RustSQLiteSession("anna")
    populate(session)
    assert session.delete()
    session.process_entities([entities.user(1000, 1)])
    session.save()
    # The new file has all entities that the session knows, but not the login.
    assert len(on_disk()) == 101
    assert on_disk("sessions")[0][3] == b""


# An open file can be written whatever its mode is, but its journal is created for each transaction.
@pytest.mark.parametrize(
    ("what", "opened"),
    [(".", "before"), (".", "after"), ("anna.session", "after")],
    ids=["the folder of an open session", "the folder of a session", "a session"],
)
def test_read_only_file_or_folder(what: str, opened: str) -> None:
    # Other users cannot read pytest's own folder.
    with tempfile.TemporaryDirectory() as folder:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(command("write_read_only", what, opened), check=True, cwd=folder)
        assert everything_is_on_disk(f"{folder}/anna.session")
    tally("unavailable files")


NOT_A_FILE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("directory", lambda path: path.mkdir(), "it is a folder"),
    ("pipe", os.mkfifo if hasattr(os, "mkfifo") else Path.mkdir, "it is not a regular file"),
    ("device", lambda path: path.symlink_to("/dev/null"), "it is not a regular file"),
    ("link to itself", lambda path: path.symlink_to(path), "symbolic link"),
    ("text", lambda path: path.write_text("Dear diary, " * 100), "not a database"),
]


@pytest.mark.parametrize(("create", "why"), [case[1:] for case in NOT_A_FILE], ids=[c[0] for c in NOT_A_FILE])
def test_the_error_says_why_a_path_cannot_be_opened(create: Callable[[Path], Any], why: str, folder: Path) -> None:
    create(folder / "anna.session")
    with pytest.raises(sqlite3.DatabaseError, match=rf"(?s)({why}.*anna\.session|anna\.session.*{why})"):
        RustSQLiteSession("anna")


def test_the_folder_does_not_exist() -> None:
    with pytest.raises(sqlite3.OperationalError, match=r"nowhere/anna\.session.*folder.*does not exist"):
        RustSQLiteSession("nowhere/anna")
    assert not Path("nowhere").exists()

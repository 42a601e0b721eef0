"""A file, or its folder, that is taken away, replaced or made read-only under a session: said once, nothing hangs,
memory answers, and writing goes on when the cause goes.
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
from support.contents import KEY, OTHER_KEY, everything_is_on_disk, tell_everything
from support.counters import tried
from support.files import dump, on_disk
from support.log_messages import warnings_in
from support.programs import command
from support.unprivileged import NOBODY
from telethon_session_rust import RustSQLiteSession

pytestmark = [
    pytest.mark.any_release,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody take away a file that is open"),
]


def make(path: str, key: Any) -> bytes:
    Path(path).parent.mkdir(exist_ok=True)
    session = RustSQLiteSession(path)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = key
    session.close()
    return Path(path).read_bytes()


def deleted() -> Callable[[], None]:
    data = Path("folder/anna.session").read_bytes()
    Path("folder/anna.session").unlink()
    return lambda: Path("folder/anna.session").write_bytes(data) and None


def moved() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    return lambda: Path("elsewhere").rename("folder/anna.session") and None


def without_its_folder() -> Callable[[], None]:
    Path("folder").rename("gone")
    return lambda: Path("gone").rename("folder") and None


def replaced_by_another_login() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    make("folder/anna.session", OTHER_KEY)

    def back() -> None:
        # Nothing of ours has got into it.
        assert on_disk("sessions", "folder/anna.session")[0][3] == OTHER_KEY.key
        assert on_disk("entities", "folder/anna.session") == []
        Path("elsewhere").replace("folder/anna.session")

    return back


def replaced_by_one_without_login() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    make("folder/anna.session", None)
    return lambda: Path("elsewhere").replace("folder/anna.session") and None


def replaced_by_nonsense() -> Callable[[], None]:
    Path("folder/anna.session").rename("elsewhere")
    Path("folder/anna.session").write_text("no session")

    def back() -> None:
        assert Path("folder/anna.session").read_text() == "no session"
        Path("elsewhere").replace("folder/anna.session")

    return back


LOSSES = [
    deleted,
    moved,
    without_its_folder,
    replaced_by_another_login,
    replaced_by_one_without_login,
    replaced_by_nonsense,
]


# Elsewhere SQLite itself does not see in WAL mode that a file is gone.
MODES = ["delete", "wal"] if sys.platform == "linux" else ["delete"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
async def test_a_lost_file(
    lose: Callable[[], Callable[[], None]], mode: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make("folder/anna.session", KEY)
    with closing(sqlite3.connect("folder/anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")
    session = RustSQLiteSession("folder/anna")
    session.process_entities([entities.user(1, 7, username="before")])
    await session.flush()
    give_back = lose()
    tell_everything(session)
    session.save()
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session"):
        await session.flush()
    # Who is known is found; who is not is not known, as ever.
    assert session.get_input_entity("user1") == types.InputPeerUser(1, -104729)
    for key in ("nobody", "@somebody", 10**9):
        with pytest.raises(ValueError, match="Could not find"):
            session.get_input_entity(key)
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session.*unsaved.*100 entities"):
        session.close()
    session.auth_key = OTHER_KEY
    with pytest.raises(sqlite3.DatabaseError, match=r"anna\.session"):
        session.save()
    session.auth_key = KEY
    # Long enough for the writer to have tried again.
    await asyncio.sleep(1.5)
    # Sessions of other tests may still say that they go on.
    said = [message for message in warnings_in(caplog) if str(folder) in message]
    assert len(said) == 1
    give_back()
    while not everything_is_on_disk("folder/anna.session"):
        await asyncio.sleep(0.05)
    session.close()
    assert dump("folder/anna.session")["sessions"][0][3] == KEY.key
    tried("lost files")


async def test_a_backup_is_put_in_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The same login, so it is the same session."""
    make("folder/anna.session", KEY)
    session = RustSQLiteSession("folder/anna")
    shutil.copy("folder/anna.session", "backup")
    Path("backup").replace("folder/anna.session")
    tell_everything(session)
    while not everything_is_on_disk("folder/anna.session"):
        await asyncio.sleep(0.05)
    session.close()


def test_a_session_that_was_deleted_by_itself_may_begin_anew() -> None:
    session = RustSQLiteSession("anna")
    tell_everything(session)
    assert session.delete()
    session.process_entities([entities.user(1000, 1)])
    session.save()
    # With all that it still knows, but not with the login.
    assert len(on_disk()) == 101
    assert on_disk("sessions")[0][3] == b""


# A file that is open may be written whatever becomes of its mode; its journal is made anew each time.
@pytest.mark.parametrize(
    ("what", "opened"),
    [(".", "before"), (".", "after"), ("anna.session", "after")],
    ids=["the folder of an open session", "the folder of a session", "a session"],
)
def test_what_may_not_be_written(what: str, opened: str) -> None:
    # Not pytest's own folder, into which nobody else may look.
    with tempfile.TemporaryDirectory() as folder:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(command("write_where_it_may_not", what, opened), check=True, cwd=folder)
        assert everything_is_on_disk(f"{folder}/anna.session")
    tried("lost files")


NOT_TO_BE_OPENED: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a folder", lambda path: path.mkdir(), "it is a folder"),
    ("a pipe", os.mkfifo if hasattr(os, "mkfifo") else Path.mkdir, "it is no regular file"),
    ("a device", lambda path: path.symlink_to("/dev/null"), "it is no regular file"),
    ("a link to itself", lambda path: path.symlink_to(path), "symbolic link"),
    ("a text", lambda path: path.write_text("Dear diary, " * 100), "not a database"),
]


@pytest.mark.parametrize(
    ("make_it", "why"), [case[1:] for case in NOT_TO_BE_OPENED], ids=[c[0] for c in NOT_TO_BE_OPENED]
)
def test_what_is_no_file_is_refused_in_words(make_it: Callable[[Path], Any], why: str, folder: Path) -> None:
    make_it(folder / "anna.session")
    with pytest.raises(sqlite3.DatabaseError, match=rf"(?s)({why}.*anna\.session|anna\.session.*{why})"):
        RustSQLiteSession("anna")


def test_no_folder_to_be_in() -> None:
    with pytest.raises(sqlite3.OperationalError, match=r"nowhere/anna\.session.*folder.*does not exist"):
        RustSQLiteSession("nowhere/anna")
    assert not Path("nowhere").exists()

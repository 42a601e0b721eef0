"""`telethon-session merge` and `upgrade`."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import telethon
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION
from telethon.tl import types

from support import entities
from support.cli import IS_POSIX, call, changed, filled, rows_of, unchanged
from support.contents import OTHER_KEY, STATE
from support.files import dump
from support.real_files import FILES, version_of
from telethon_session_rust import RustSQLiteSession


def create(name: str, *others: Any, own_id: int = 12345, date: int = 1_700_000_000) -> Path:
    """Creates a session of an account that saw the other entities at one time."""
    session = RustSQLiteSession(name)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = OTHER_KEY
    session.process_entities([types.InputPeerUser(0, own_id), *others])
    session.set_update_state(len(name), STATE)
    session.cache_file(name.encode(), 1, types.InputDocument(1, 2, b""))
    session.close()
    return changed(Path(f"{name}.session"), "update entities set date = ?", date)


def rows(path: str = "c.session") -> dict[int, Any]:
    return {row[0]: row[1:] for row in rows_of(path)}


def test_the_copy_seen_last_wins() -> None:
    old = create("a", entities.user(1, 10, first_name="Old", username="old"), entities.user(2, 20), date=1_000)
    new = create("b", entities.user(1, 11, first_name="New", username="new"), entities.chat(3), date=2_000)
    for order in ([old, new], [new, old]):
        with unchanged(old, new):
            result = call("merge", *order, "--into", "c")
            assert (result.code, result.err) == (0, "")
            assert rows() == {
                1: (11, "new", None, "New", 2_000),
                2: (20, None, None, None, 1_000),
                -3: (0, None, None, "chat", 2_000),
            }
            Path("c.session").unlink()


def test_a_new_file_has_no_login_and_all_sent_files() -> None:
    create("a"), create("bb")
    assert call("merge", "a", "bb", "--into", "c").code == 0
    path = Path("c.session")
    RustSQLiteSession("new").close()
    assert rows_of(path, "sessions") == rows_of("new.session", "sessions")
    assert dump(path)["schema"] == dump("new.session")["schema"]
    assert (rows_of(path, "update_state"), rows_of(path)) == ([], [])
    assert {row[0] for row in rows_of(path, "sent_files")} == {b"a", b"bb"}
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_keeps_its_login_and_newer_entities() -> None:
    create("a", entities.user(1, 10), entities.user(2, 20), date=1_000)
    into = filled("c.session")
    changed(into, "update entities set date = 2000 where id = 1")
    changed(into, "update entities set date = 500 where id = 2")
    before = {table: rows_of(into, table) for table in ("sessions", "update_state")}
    known = rows()
    result = call("merge", "a", "c", "--into", "c")
    assert (result.code, "0 of them new" in result.out) == (0, True)
    assert {table: rows_of(into, table) for table in before} == before
    # Entity 0, the account, is not merged.
    assert rows() == {**known, 2: (20, None, None, None, 1_000)}
    assert len(rows_of(into, "sent_files")) == 2


def test_a_username_has_one_owner() -> None:
    create("a", entities.user(1, 10, username="shared"), entities.user(5, 50, username="alone"), date=1_000)
    create("b", entities.user(2, 20, username="shared"), entities.user(3, 30, username="shared"), date=2_000)
    assert call("merge", "b", "a", "--into", "c").code == 0
    usernames = {id: row[1] for id, row in rows().items()}
    # Of two entities seen in one second, the one that Telethon finds.
    theirs = SQLiteSession("b")
    owner = theirs.get_input_entity("shared").user_id
    theirs.close()
    assert usernames == {1: None, 2: None, 3: None, 5: "alone"} | {owner: "shared"}


def test_a_warning_about_files_of_different_accounts() -> None:
    create("a", own_id=1), create("b", own_id=2)
    result = call("merge", "a", "b", "--into", "c")
    assert result.code == 0
    assert "warning" in result.err and "a.session to 1, b.session to 2" in result.err
    create("d", own_id=3)
    assert "d.session to 3" in call("merge", "a", "--into", "d").err


def test_files_of_every_version() -> None:
    """Telethon removes all entities of version 5 and older, because their access hashes may be
    wrong.
    """
    for real in FILES:
        shutil.copyfile(real, "a.session")
        result = call("merge", "a", "--into", "c")
        is_old = version_of(real) <= 5
        assert ("may be wrong" in result.err) == is_old
        expected = [] if is_old else [(*row, None)[:6] for row in rows_of("a.session")]
        assert [(id, *row) for id, row in rows().items()] == expected
        assert len(rows_of("c.session", "sent_files")) == (
            len(rows_of("a.session", "sent_files")) if version_of(real) > 2 else 0
        )
        Path("c.session").unlink()


def test_unusable_rows_are_left_out() -> None:
    create("a", entities.user(1, 10), entities.user(2, 20))
    changed(Path("a.session"), "update entities set hash = 'text' where id = 1")
    result = call("merge", "a", "--into", "c")
    assert (result.code, [*rows()]) == (0, [2])
    assert "not a number: 1" in result.out


def test_a_failed_merge_changes_nothing() -> None:
    create("a", entities.user(1, 10))
    bad = Path("b.session")
    bad.write_bytes(FILES[-1].read_bytes()[:20_000])
    assert "b.session" in call("merge", "a", "b", "--into", "c").error
    assert not Path("c.session").exists()
    into = filled("c.session")
    with unchanged(into):
        assert call("merge", "a", "b", "--into", "c").code == 1
    assert "cannot be merged into itself" in call("merge", "c", "--into", "c").error


def contents(path: str | Path) -> dict[str, Any]:
    """Returns everything except for a counter that is not copied."""
    return {what: rows for what, rows in dump(path).items() if what != "schema_version"}


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_upgrade(real: Path) -> None:
    """The result is that of opening the file with the session class."""
    ours, theirs = (Path(shutil.copyfile(real, f"{name}.session")) for name in ("ours", "theirs"))
    RustSQLiteSession("theirs").close()
    result = call("upgrade", "ours")
    assert result.code == 0
    assert dump(ours) == dump(theirs)
    version = version_of(real)
    if version < CURRENT_VERSION:
        assert (
            f"from database version {version} to {CURRENT_VERSION}, the version of Telethon {telethon.__version__}"
            in result.out
        )
    else:
        assert ("already" in result.out) == (version == CURRENT_VERSION)
        assert ours.read_bytes() == real.read_bytes()
    assert ("removing 100 entities" in result.err) == (version <= 5)
    backup = Path("ours.session.backup")
    assert backup.exists() == (str(backup) in result.err) == (version <= 5)
    if backup.exists():
        assert contents(backup) == contents(real)
        if IS_POSIX:
            assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with unchanged(ours):
        assert call("upgrade", "ours").code == 0


def test_a_failed_upgrade() -> None:
    """The message comes first, the file does not change, and the backup does not overwrite another
    file.
    """
    old = next(real for real in FILES if version_of(real) == 5)
    path = Path(shutil.copyfile(old, "anna.session"))
    changed(path, "create trigger guard before delete on entities begin select raise(abort, 'they stay'); end")
    Path("anna.session.backup").write_text("another file")
    before = path.read_bytes()
    result = call("upgrade", "anna")
    assert result.code == 1 and "they stay" in result.error
    assert result.err.index("removing 100 entities") < result.err.index("they stay")
    assert path.read_bytes() == before
    assert contents("anna.session.backup.1") == contents(path)
    assert Path("anna.session.backup").read_text() == "another file"

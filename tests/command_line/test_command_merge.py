"""`telethon-session merge`, and `upgrade`."""

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


def made(name: str, *people: Any, own_id: int = 12345, date: int = 1_700_000_000) -> Path:
    """A session of an account that has met these, all at one time."""
    session = RustSQLiteSession(name)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = OTHER_KEY
    session.process_entities([types.InputPeerUser(0, own_id), *people])
    session.set_update_state(len(name), STATE)
    session.cache_file(name.encode(), 1, types.InputDocument(1, 2, b""))
    session.close()
    return changed(Path(f"{name}.session"), "update entities set date = ?", date)


def rows(path: str = "c.session") -> dict[int, Any]:
    return {row[0]: row[1:] for row in rows_of(path)}


def test_the_one_seen_last_stays() -> None:
    old = made("a", entities.user(1, 10, first_name="Old", username="old"), entities.user(2, 20), date=1_000)
    new = made("b", entities.user(1, 11, first_name="New", username="new"), entities.chat(3), date=2_000)
    for order in ([old, new], [new, old]):
        with unchanged(old, new):
            answer = call("merge", *order, "--into", "c")
            assert (answer.code, answer.err) == (0, "")
            assert rows() == {
                1: (11, "new", None, "New", 2_000),
                2: (20, None, None, None, 1_000),
                -3: (0, None, None, "chat", 2_000),
            }
            Path("c.session").unlink()


def test_a_new_file_has_no_login_and_all_sent_files() -> None:
    made("a"), made("bb")
    assert call("merge", "a", "bb", "--into", "c").code == 0
    path = Path("c.session")
    RustSQLiteSession("new").close()
    assert rows_of(path, "sessions") == rows_of("new.session", "sessions")
    assert dump(path)["schema"] == dump("new.session")["schema"]
    assert (rows_of(path, "update_state"), rows_of(path)) == ([], [])
    assert {row[0] for row in rows_of(path, "sent_files")} == {b"a", b"bb"}
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_keeps_what_is_its_own() -> None:
    made("a", entities.user(1, 10), entities.user(2, 20), date=1_000)
    into = filled("c.session")
    changed(into, "update entities set date = 2000 where id = 1")
    changed(into, "update entities set date = 500 where id = 2")
    before = {table: rows_of(into, table) for table in ("sessions", "update_state")}
    known = rows()
    answer = call("merge", "a", "c", "--into", "c")
    assert (answer.code, "0 of them new" in answer.out) == (0, True)
    assert {table: rows_of(into, table) for table in before} == before
    # The account itself is entity 0.
    assert rows() == {**known, 2: (20, None, None, None, 1_000)}
    assert len(rows_of(into, "sent_files")) == 2


def test_a_username_has_one_owner() -> None:
    made("a", entities.user(1, 10, username="shared"), entities.user(5, 50, username="alone"), date=1_000)
    made("b", entities.user(2, 20, username="shared"), entities.user(3, 30, username="shared"), date=2_000)
    assert call("merge", "b", "a", "--into", "c").code == 0
    usernames = {id: row[1] for id, row in rows().items()}
    # Of two that were seen in one second, the one whom Telethon would answer with.
    theirs = SQLiteSession("b")
    owner = theirs.get_input_entity("shared").user_id
    theirs.close()
    assert usernames == {1: None, 2: None, 3: None, 5: "alone"} | {owner: "shared"}


def test_files_of_different_accounts_are_warned_of() -> None:
    made("a", own_id=1), made("b", own_id=2)
    answer = call("merge", "a", "b", "--into", "c")
    assert answer.code == 0
    assert "warning" in answer.err and "a.session of 1, b.session of 2" in answer.err
    made("d", own_id=3)
    assert "d.session of 3" in call("merge", "a", "--into", "d").err


def test_files_of_every_version() -> None:
    """From version 5 and older Telethon takes no entities over."""
    for real in FILES:
        shutil.copyfile(real, "a.session")
        answer = call("merge", "a", "--into", "c")
        is_old = version_of(real) <= 5
        assert ("may be wrong" in answer.err) == is_old
        expected = [] if is_old else [(*row, None)[:6] for row in rows_of("a.session")]
        assert [(id, *row) for id, row in rows().items()] == expected
        assert len(rows_of("c.session", "sent_files")) == (
            len(rows_of("a.session", "sent_files")) if version_of(real) > 2 else 0
        )
        Path("c.session").unlink()


def test_what_cannot_be_used_is_left_out() -> None:
    made("a", entities.user(1, 10), entities.user(2, 20))
    changed(Path("a.session"), "update entities set hash = 'text' where id = 1")
    answer = call("merge", "a", "--into", "c")
    assert (answer.code, [*rows()]) == (0, [2])
    assert "no number: 1" in answer.out


def test_all_or_nothing() -> None:
    made("a", entities.user(1, 10))
    bad = Path("b.session")
    bad.write_bytes(FILES[-1].read_bytes()[:20_000])
    assert "b.session" in call("merge", "a", "b", "--into", "c").error
    assert not Path("c.session").exists()
    into = filled("c.session")
    with unchanged(into):
        assert call("merge", "a", "b", "--into", "c").code == 1
    assert "but itself" in call("merge", "c", "--into", "c").error


def contents(path: str | Path) -> dict[str, Any]:
    """All but a counter that begins anew in a copy."""
    return {what: rows for what, rows in dump(path).items() if what != "schema_version"}


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_upgrade(real: Path) -> None:
    """As opening it with the class does."""
    ours, theirs = (Path(shutil.copyfile(real, f"{name}.session")) for name in ("ours", "theirs"))
    RustSQLiteSession("theirs").close()
    answer = call("upgrade", "ours")
    assert answer.code == 0
    assert dump(ours) == dump(theirs)
    version = version_of(real)
    if version < CURRENT_VERSION:
        assert (
            f"from database version {version} to version {CURRENT_VERSION}, that of Telethon {telethon.__version__}"
            in answer.out
        )
    else:
        assert ("already" in answer.out) == (version == CURRENT_VERSION)
        assert ours.read_bytes() == real.read_bytes()
    assert ("forgotten" in answer.err) == (version <= 5)
    backup = Path("ours.session.backup")
    assert backup.exists() == (str(backup) in answer.err) == (version <= 5)
    if backup.exists():
        assert contents(backup) == contents(real)
        if IS_POSIX:
            assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with unchanged(ours):
        assert call("upgrade", "ours").code == 0


def test_an_upgrade_that_fails_has_said_what_it_does_and_kept_the_file() -> None:
    """What is forgotten is said before, and no backup takes another's place."""
    old = next(real for real in FILES if version_of(real) == 5)
    path = Path(shutil.copyfile(old, "anna.session"))
    changed(path, "create trigger guard before delete on entities begin select raise(abort, 'they stay'); end")
    Path("anna.session.backup").write_text("somebody's")
    before = path.read_bytes()
    answer = call("upgrade", "anna")
    assert answer.code == 1 and "they stay" in answer.error
    assert answer.err.index("100 entities will be forgotten") < answer.err.index("they stay")
    assert path.read_bytes() == before
    assert contents("anna.session.backup.1") == contents(path)
    assert Path("anna.session.backup").read_text() == "somebody's"

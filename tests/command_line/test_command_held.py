"""`telethon-session` on a file that others use, or left in the middle of something: it reads, or says why it cannot."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support import entities
from support.cli import (
    IS_POSIX,
    Answer,
    call,
    changed,
    filled,
    rows_of,
    run,
    unchanged,
    with_a_journal_left,
    with_a_wal_left,
)
from support.contents import KEY
from support.file_client import fast_folder
from support.locks import held_by_another_program
from support.programs import command
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import reading, repair

pytestmark = pytest.mark.any_release

READING = [["info", "anna"], ["check", "anna"], ["entities", "anna"], ["export", "anna"]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, repair):
        monkeypatch.setattr(module, "PATIENCE", 0.05)


@pytest.mark.parametrize(
    "arguments", [*READING, ["repair", "anna"], ["merge", "anna", "--into", "c"]], ids=lambda words: words[0]
)
def test_a_file_that_another_program_holds(arguments: list[str], impatient: None) -> None:
    path = filled()
    with held_by_another_program(), unchanged(path):
        error = call(*arguments).error
    assert "anna.session is held by" in error
    if sys.platform == "linux":
        assert "process " in error


def test_a_list_says_so_of_one_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telethon_session_rust.cli.listing._PATIENCE", 0.05)
    filled(), filled("bob.session")
    with held_by_another_program():
        told = call("list", "--json").json
    assert "held by" in told[0]["error"] and told[1]["entities"] == 101


def test_repair_into_another_file_refuses_a_held_one(impatient: None) -> None:
    path = changed(filled(), "drop table update_state")
    with held_by_another_program(), unchanged(path):
        assert "held by" in call("repair", "anna", "--into", "new").error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
def test_repair_refuses_what_another_program_has_open() -> None:
    """It would go on with the old file. Into another file it can be saved."""
    path = changed(filled(), "drop table update_state")
    pipe = subprocess.PIPE
    with subprocess.Popen(command("open_idly", path), stdin=pipe, stdout=pipe) as program:
        program.stdout.readline()
        with unchanged(path):
            assert "in use" in call("repair", "anna").error
        assert "lost" in call("repair", "anna", "--into", "new").out
        program.communicate(b"\n")
    assert "lost" in call("repair", "anna").out


def test_a_session_that_goes_on_writing() -> None:
    """Each command reads what is there; nothing is lost, and the file is whole."""
    session = RustSQLiteSession("anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    for number, name in enumerate(["entities", "check", "export"]):
        session.process_entities([entities.user(n, n) for n in range(number * 1000 + 1, number * 1000 + 1001)])
        session.save()
        session.process_entities([entities.user(10_000 + number, 1)])
        answer = run(name, "anna")
        assert answer.code == 0
        if name == "entities":
            assert len(answer.out.splitlines()) > 1000
    session.close()
    assert len(rows_of("anna.session")) == 3003
    assert call("check", "anna").code == 0


def test_a_journal_that_was_left() -> None:
    """It cannot be put back without a change to the file, so that is said."""
    path = filled()
    before = rows_of(path)
    with_a_journal_left(path)
    with unchanged(path):
        for arguments in READING:
            answer = call(*arguments)
            assert answer.code == 1
            assert "anna.session-journal" in answer.err + answer.out and "repair" in answer.err + answer.out
    damaged, journal = (Path(f"anna.session{side}").read_bytes() for side in ("", "-journal"))
    assert call("repair", "anna").code == 0
    assert rows_of(path) == before
    assert not Path("anna.session-journal").exists()
    assert Path("anna.session.broken").read_bytes() == damaged
    assert Path("anna.session.broken-journal").read_bytes() == journal


def test_a_write_under_way_is_no_journal_that_was_left(impatient: None) -> None:
    """The file can be read, as it was before, and not be replaced."""
    path = changed(filled(), "drop table update_state")
    before = rows_of(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from entities")
        assert Path("anna.session-journal").stat().st_size > 0
        assert call("info", "anna", "--json").json["entities"] == len(before)
        with unchanged(path):
            assert "held by" in call("repair", "anna").error
        assert "lost" in call("repair", "anna", "--into", "new").out
        writer.execute("rollback")
    assert rows_of("new.session") == rows_of(path) == before


def test_in_wal_mode() -> None:
    path = filled()
    changed(path, "pragma journal_mode = wal")
    with unchanged(path):
        for arguments in READING:
            assert call(*arguments).code == 0
        assert call("info", "anna", "--json").json["journal_mode"] == "wal"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("delete from entities where id > 50")
        other.commit()
        assert Path("anna.session-wal").stat().st_size > 0
        count = other.execute("select count(*) from entities").fetchone()[0]
        before = path.read_bytes()
        assert call("info", "anna", "--json").json["entities"] == count
        assert path.read_bytes() == before


def test_a_wal_that_was_left() -> None:
    path = with_a_wal_left(filled(), "update entities set name = 'renamed' where id = 1")
    before = path.read_bytes()
    assert call("entities", "anna", "--name", "renamed", "--json").json[0]["id"] == 1
    assert path.read_bytes() == before
    assert call("repair", "anna", "--into", "new").code == 0
    assert call("entities", "new", "--name", "renamed").code == 0


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no such modes")
def test_where_nothing_may_be_written() -> None:
    """As somebody to whom modes matter; they do not to root."""
    with fast_folder() as folder:
        plain = filled()
        wal = with_a_wal_left(filled("wal.session"), "update entities set hash = 1")
        left = with_a_journal_left(filled("left.session"))
        changed(Path(shutil.copyfile(plain, "mode.session")), "pragma journal_mode = wal")
        shutil.copyfile(plain, "closed.session")
        for name in (plain, wal, f"{wal}-wal", left, f"{left}-journal", "mode.session", "closed.session"):
            shutil.copyfile(name, folder / name).chmod(0 if name == "closed.session" else 0o444)
        folder.chmod(0o555)
        read = [[command, name] for name in ("anna", "mode") for command in ("info", "check", "entities", "export")]
        told = as_nobody(
            folder, *read, ["list", "--json"], ["info", "wal"], ["info", "left"], ["info", "closed"], ["repair", "left"]
        )
        folder.chmod(0o755)
    *readable, listed, of_wal, of_left, of_closed, repaired = told
    assert [answer.code for answer in readable] == [0] * len(read)
    assert [Path(one["file"]).stem for one in listed.json if not one["error"]] == ["anna", "mode"]
    assert "copy both to a folder" in of_wal.error
    assert "repair" in of_left.error
    assert "Permission denied" in of_closed.error and "Permission denied" in repaired.error


def as_nobody(folder: Path, *commands: list[str]) -> list[Answer]:
    done = subprocess.run(
        command("call_unprivileged", json.dumps(commands)), cwd=folder, capture_output=True, text=True, check=True
    )
    return [Answer(**told) for told in json.loads(done.stdout)]

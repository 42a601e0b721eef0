"""`telethon-session` on a file that another process uses, locks or left with a journal, and on a
read-only file.
"""

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
    Result,
    call,
    changed,
    filled,
    rows_of,
    run,
    unchanged,
    with_hot_journal,
    with_leftover_wal,
)
from support.contents import KEY
from support.file_client import fast_folder
from support.locks import locked_by_another_process
from support.programs import command
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import reader, repair

READ_COMMANDS = [["info", "anna"], ["check", "anna"], ["entities", "anna"], ["export", "anna"]]


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reader, repair):
        monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)


@pytest.mark.parametrize(
    "arguments",
    [*READ_COMMANDS, ["repair", "anna"], ["merge", "anna", "--into", "c"]],
    ids=lambda arguments: arguments[0],
)
def test_a_file_that_another_process_has_locked(arguments: list[str], short_timeout: None) -> None:
    path = filled()
    with locked_by_another_process(), unchanged(path):
        error = call(*arguments).error
    assert "anna.session is locked by" in error
    if sys.platform == "linux":
        assert "process " in error


def test_list_continues_after_a_locked_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telethon_session_rust.cli.list_._BUSY_TIMEOUT", 0.05)
    filled(), filled("bob.session")
    with locked_by_another_process():
        listed = call("list", "--json").json
    assert "locked by" in listed[0]["error"] and listed[1]["entities"] == 101


def test_repair_into_another_file_refuses_a_locked_file(short_timeout: None) -> None:
    path = changed(filled(), "drop table update_state")
    with locked_by_another_process(), unchanged(path):
        assert "locked by" in call("repair", "anna", "--into", "new").error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the processes that have a file open")
def test_repair_refuses_a_file_that_another_process_has_open() -> None:
    """The process would continue to use the old file. Repairing into another file works."""
    path = changed(filled(), "drop table update_state")
    pipe = subprocess.PIPE
    with subprocess.Popen(command("keep_open", path), stdin=pipe, stdout=pipe) as program:
        program.stdout.readline()
        with unchanged(path):
            assert "in use" in call("repair", "anna").error
        assert "lost" in call("repair", "anna", "--into", "new").out
        program.communicate(b"\n")
    assert "lost" in call("repair", "anna").out


def test_reading_while_a_session_writes() -> None:
    """The commands do not disturb the session, which loses nothing."""
    session = RustSQLiteSession("anna")
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = KEY
    for number, name in enumerate(["entities", "check", "export"]):
        session.process_entities([entities.user(n, n) for n in range(number * 1000 + 1, number * 1000 + 1001)])
        session.save()
        session.process_entities([entities.user(10_000 + number, 1)])
        result = run(name, "anna")
        assert result.code == 0
        if name == "entities":
            assert len(result.out.splitlines()) > 1000
    session.close()
    assert len(rows_of("anna.session")) == 3003
    assert call("check", "anna").code == 0


def test_a_hot_journal() -> None:
    """Rolling it back would change the file, so only `repair` does, on a copy."""
    path = filled()
    before = rows_of(path)
    with_hot_journal(path)
    with unchanged(path):
        for arguments in READ_COMMANDS:
            result = call(*arguments)
            assert result.code == 1
            assert "anna.session-journal" in result.err + result.out and "repair" in result.err + result.out
    damaged, journal = (Path(f"anna.session{side}").read_bytes() for side in ("", "-journal"))
    assert call("repair", "anna").code == 0
    assert rows_of(path) == before
    assert not Path("anna.session-journal").exists()
    assert Path("anna.session.broken").read_bytes() == damaged
    assert Path("anna.session.broken-journal").read_bytes() == journal


def test_a_write_in_progress(short_timeout: None) -> None:
    """The file can be read as it was before the write, but not replaced."""
    path = changed(filled(), "drop table update_state")
    before = rows_of(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from entities")
        assert Path("anna.session-journal").stat().st_size > 0
        assert call("info", "anna", "--json").json["entities"] == len(before)
        with unchanged(path):
            assert "locked by" in call("repair", "anna").error
        assert "lost" in call("repair", "anna", "--into", "new").out
        writer.execute("rollback")
    assert rows_of("new.session") == rows_of(path) == before


def test_wal_mode() -> None:
    path = filled()
    changed(path, "pragma journal_mode = wal")
    with unchanged(path):
        for arguments in READ_COMMANDS:
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


def test_a_leftover_wal_file() -> None:
    path = with_leftover_wal(filled(), "update entities set name = 'renamed' where id = 1")
    before = path.read_bytes()
    assert call("entities", "anna", "--name", "renamed", "--json").json[0]["id"] == 1
    assert path.read_bytes() == before
    assert call("repair", "anna", "--into", "new").code == 0
    assert call("entities", "new", "--name", "renamed").code == 0


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no file modes")
def test_a_read_only_folder() -> None:
    """Modes do not restrict root, so the commands run as another user."""
    with fast_folder() as folder:
        plain = filled()
        wal = with_leftover_wal(filled("wal.session"), "update entities set hash = 1")
        hot = with_hot_journal(filled("hot.session"))
        changed(Path(shutil.copyfile(plain, "mode.session")), "pragma journal_mode = wal")
        shutil.copyfile(plain, "closed.session")
        for name in (plain, wal, f"{wal}-wal", hot, f"{hot}-journal", "mode.session", "closed.session"):
            shutil.copyfile(name, folder / name).chmod(0 if name == "closed.session" else 0o444)
        folder.chmod(0o555)
        read = [[command, name] for name in ("anna", "mode") for command in ("info", "check", "entities", "export")]
        results = call_unprivileged(
            folder, *read, ["list", "--json"], ["info", "wal"], ["info", "hot"], ["info", "closed"], ["repair", "hot"]
        )
        folder.chmod(0o755)
    *readable, listed, of_wal, of_hot, of_closed, repaired = results
    assert [result.code for result in readable] == [0] * len(read)
    assert [Path(one["file"]).stem for one in listed.json if not one["error"]] == ["anna", "mode"]
    assert "copy both to a folder" in of_wal.error
    assert "repair" in of_hot.error
    assert "Permission denied" in of_closed.error and "Permission denied" in repaired.error


def call_unprivileged(folder: Path, *commands: list[str]) -> list[Result]:
    done = subprocess.run(
        command("call_unprivileged", json.dumps(commands)), cwd=folder, capture_output=True, text=True, check=True
    )
    return [Result(**fields) for fields in json.loads(done.stdout)]

"""`telethon-session check` reports every problem and nothing else, and `repair` solves what it
reports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from telethon.sessions import SQLiteSession
from telethon.sessions.sqlite import CURRENT_VERSION

from support.altered_files import columns_of, loosened
from support.cli import IS_POSIX, call, changed, fill, filled, rows_of, unchanged
from support.contents import KEY
from support.key_traces import traces
from support.real_files import FILES, SPOILED, version_of
from telethon_session_rust import RustSQLiteSession


def findings(level: str, path: str | Path = "anna") -> str:
    return "\n".join(
        f"{one['what']} -> {one['advice']}" for one in call("check", path, "--json").json if one["level"] == level
    )


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_real_files_have_no_problems(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        result = call("check", "anna")
    assert (result.code, result.err) == (0, "")
    assert "no problems found" in result.out
    assert ("telethon-session upgrade" in result.out) == (version_of(real) < CURRENT_VERSION)
    assert ("empty key" in result.out) == (real.stem == SPOILED)


@pytest.mark.parametrize("cls", [SQLiteSession, RustSQLiteSession], ids=lambda cls: cls.__name__)
def test_files_of_both_classes_have_no_problems(cls: type) -> None:
    cls("anna").close()
    assert findings("wrong") == "" and "not logged in" in findings("note")
    fill(cls("anna"))
    assert call("check", "anna").code == 0
    assert findings("wrong") == ""


# Statements that damage a file, and the finding of each.
PROBLEMS = {
    "update sessions set auth_key = randomblob(255)": "not 256 bytes",
    "update sessions set auth_key = 'text'": "not 256 bytes",
    "update sessions set auth_key = zeroblob(256)": "all zeros",
    "update sessions set dc_id = -1": "data centre ID",
    "update sessions set server_address = 'telegram.org'": "not an IP address",
    "update sessions set port = 70000": "port",
    "update sessions set port = 'text'": "port",
    "update sessions set takeout_id = 'text'": "takeout",
    "update entities set hash = 'text' where id = 1": "access hash is not a number: 1",
    "update entities set username = x'ff' where id in (1, 2)": "usernames that are not text: 2",
    "update entities set username = 'User1' where id = 1": "uppercase",
    "update entities set username = cast(x'ff' as text) where id = 1": "usernames that are not text: 1",
    "update entities set phone = x'ff' where id = 1": "phone numbers",
    "update entities set name = x'ff' where id = 1": "names that are not text: 1",
    "update entities set date = 'yesterday' where id = 1": "date is not valid: 1",
    "update entities set date = -1 where id = 1": "date is not valid: 1",
    "update update_state set pts = 'text'": "cannot be sent: 1",
    "update update_state set qts = 1 << 40": "cannot be sent: 1",
    "update update_state set date = 1e300": "date is not valid: 1",
    "update sent_files set type = 7": "cannot be used: 1",
    "update sent_files set hash = null": "cannot be used: 1",
    "drop table entities": "entities is missing",
    "drop table sent_files": "sent_files is missing",
    "drop table update_state": "update_state is missing",
    "alter table entities rename column date to seen": "no column date",
}


@pytest.mark.parametrize("statement", PROBLEMS, ids=str)
def test_a_problem_is_reported_and_repaired(statement: str) -> None:
    """There is one finding, and `repair` changes nothing else."""
    path = changed(filled(), statement)
    with unchanged(path):
        result = call("check", "anna")
    assert result.code == 1
    assert "1 problem found" in result.error
    assert PROBLEMS[statement] in findings("wrong") and "telethon-session repair" in findings("wrong")
    assert not [trace for trace in traces(KEY.key) if trace in result.out + result.err]
    tables = ("sessions", "entities", "update_state", "sent_files")
    touched = next(table for table in tables if f" {table} " in f"{statement} ")
    before = {table: rows_of(path, table) for table in tables if table != touched}

    repaired = call("repair", "anna")
    # All problems lose a value, except for uppercase letters.
    assert repaired.code == int("User1" not in statement)
    assert call("check", "anna").code == 0
    assert {table: rows_of(path, table) for table in before} == before
    if touched == "entities" and "table" not in statement:
        assert len(rows_of(path)) == (100 if "hash" in statement else 101)


@pytest.mark.parametrize("table", ["sessions", "entities", "update_state", "sent_files"])
def test_a_table_without_types_and_keys(table: str) -> None:
    path = filled()
    before = rows_of(path, table)
    for statement in loosened(table, columns_of(table)):
        changed(path, statement)
    assert f"the table {table} is not as Telethon creates it" in findings("wrong")
    assert call("repair", "anna").code == 0
    assert findings("wrong") == ""
    assert rows_of(path, table) == before


def test_a_missing_row_for_the_login() -> None:
    """A session that is not logged in has an empty row."""
    changed(filled(), "delete from sessions")
    assert "no row for the login" in findings("wrong")
    call("repair", "anna")
    assert call("check", "anna").code == 0


def test_a_version_that_is_older_than_the_tables() -> None:
    """Upgrading such a file would fail."""
    path = changed(filled(), "update version set version = 3")
    before = rows_of(path)
    assert f"those of database version {CURRENT_VERSION}, not 3" in findings("wrong")
    assert call("repair", "anna").code == 0
    assert (rows_of(path), rows_of(path, "version")) == (before, [(CURRENT_VERSION,)])


NOTES = {
    "update entities set username = 'shared' where id in (1, 2)": "several entities have: 1",
    "update entities set hash = 0 where id in (1, 2, -7)": "access hash is 0, which only bots can use: 2",
    "insert into sessions (dc_id) values (9)": "2 logins",
    "update sessions set dc_id = 203": "not one of Telegram's (1 to 5)",
    "update sessions set port = null": "the port is missing",
    "create table mine (id)": "not Telethon's: mine",
    "create trigger busy after insert on entities begin select 1; end": "triggers",
    "alter table entities add column mine": "more columns: mine",
    "pragma journal_mode = wal": "WAL mode",
}


@pytest.mark.parametrize("statement", NOTES, ids=str)
def test_notes_do_not_affect_the_exit_code(statement: str) -> None:
    path = changed(filled(), statement)
    with unchanged(path):
        assert (call("check", "anna").code, findings("wrong")) == (0, "")
    assert NOTES[statement] in findings("note")


@pytest.mark.skipif(not IS_POSIX, reason="the shells of Windows quote differently")
@pytest.mark.parametrize("name", ["a'nna $x.session", "anna.session", "-anna.session", "sub dir/anna.session"])
@pytest.mark.parametrize("command", ["repair", "upgrade", "chmod"])
def test_a_shell_can_run_the_advice(command: str, name: str) -> None:
    Path("sub dir").mkdir()
    path = Path(name)
    shutil.copyfile(next(real for real in FILES if version_of(real) == 6), path)
    if command == "repair":
        changed(path, "update sessions set takeout_id = 'text'")
    path.chmod(0o644 if command == "chmod" else 0o600)
    advice = [one["advice"] or "" for one in call("check", f"./{name}", "--json").json]
    (line,) = (one for one in advice if command in one)
    program = Path("bin", "telethon-session").absolute()
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m telethon_session_rust "$@"\n')
    program.chmod(0o755)
    search = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    # `repair` fails because it drops a value.
    subprocess.run(["sh", "-c", line], env={**os.environ, "PATH": search}, check=command != "repair")
    after = [one["advice"] or "" for one in call("check", f"./{name}", "--json").json]
    assert line not in after


def test_errors_contain_the_command_to_run() -> None:
    path = filled("anna b.session")
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(4096) + data[8192:])
    expected = "telethon-session repair 'anna b.session'" if IS_POSIX else "telethon-session repair"
    for command in ("info", "export", "entities", "bench"):
        result = call(command, path)
        assert result.code == 0 or "damaged" not in result.error or expected in result.error
    changed(filled("bob.session"), "drop table entities")
    for command in ("entities", "bench"):
        assert "telethon-session repair bob.session" in call(command, "bob").error


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no file modes")
def test_a_file_that_others_can_read() -> None:
    path = filled()
    assert findings("note") == ""
    path.chmod(0o640)
    assert "mode 0640) -> chmod 600 anna.session" in findings("note")
    assert call("check", "anna").code == 0


# Offsets in the header, what to write there, and the finding.
HEADERS = [
    (18, b"\x03", "read-only"),
    (28, (10**6).to_bytes(4, "big"), "malformed"),
    (36, (5).to_bytes(4, "big"), "SQLite: "),
    (56, (4).to_bytes(4, "big"), "text encoding"),
]


@pytest.mark.parametrize(("offset", "content", "finding"), HEADERS, ids=[finding for *_, finding in HEADERS])
def test_a_damaged_header(offset: int, content: bytes, finding: str) -> None:
    path = filled()
    before = rows_of(path), rows_of(path, "sessions")
    data = path.read_bytes()
    path.write_bytes(data[:offset] + content + data[offset + len(content) :])
    with unchanged(path):
        assert call("check", "anna").code == 1
    assert finding in findings("wrong") and "telethon-session repair" in findings("wrong")
    assert call("repair", "anna").code == 0
    assert findings("wrong") == ""
    assert (rows_of(path), rows_of(path, "sessions")) == before


def test_a_database_of_another_program() -> None:
    path = changed(Path("anna.session"), "create table notes (text)")
    for command in ("check", "repair", "info", "export", "entities", "upgrade", "bench"):
        with unchanged(path):
            assert "not a Telethon session" in (result := call(command, "anna")).err + result.out
            assert result.code == 1

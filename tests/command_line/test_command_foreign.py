"""Sessions of other libraries: `copy` and `import` take them, `export --format` prints their
strings.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from telethon.sessions import SQLiteSession
from telethon.tl.types import InputPeerUser

from support import entities
from support.cli import IS_POSIX, call, changed, filled, rows_of, run, run_on_terminal, unchanged
from support.contents import KEY
from support.library_strings import Login, login_of
from telethon_session_rust import RustSQLiteSession, RustStringSession
from telethon_session_rust.foreign.strings import FORMATS, read_string

OTHER_KEY = random.Random(16).randbytes(256)
LOGIN = Login(4, "149.154.167.91", 443, OTHER_KEY, False, 777000, True, 12345)
STRINGS = {name: FORMATS[name].write(LOGIN.foreign()) for name in FORMATS}
LIBRARIES = {name: FORMATS[name].library for name in FORMATS}
each_format = pytest.mark.parametrize("name", FORMATS)
# What `filled` puts into a file.
ACCOUNT = 12345


@each_format
@pytest.mark.parametrize("command", [["import", "anna"], ["copy", "-", "anna"]], ids=["import", "copy"])
def test_a_string_becomes_a_file(name: str, command: list[str]) -> None:
    result = call(*command, stdin=f"'{STRINGS[name]}'\n")
    assert result.code == 0 and LIBRARIES[name] in result.out + result.err
    assert STRINGS[name][10:30] not in result.out + result.err
    assert rows_of("anna.session", "sessions")[0][:4] == (4, "149.154.167.91", 443, OTHER_KEY)
    accounts = [row[1] for row in rows_of("anna.session")]
    assert accounts == ([] if name == "gramjs" else [777000])
    assert ("account's ID is not known" in result.out + result.err) == (name == "gramjs")


@each_format
def test_copying_to_a_string_of_telethon(name: str) -> None:
    result = call("copy", "-", "-", stdin=STRINGS[name])
    assert result.code == 0
    assert read_string(result.out).library == "Telethon" and read_string(result.out).auth_key == OTHER_KEY


@each_format
@pytest.mark.parametrize("command", [["import", "anna"], ["copy", "-", "anna"]], ids=["import", "copy"])
def test_an_invalid_string_creates_no_file(name: str, command: list[str]) -> None:
    string = STRINGS[name][:-20]
    result = call(*command, stdin=string)
    assert "not a valid" in result.error and string[10:30] not in result.err
    assert list(Path().iterdir()) == []


def test_a_session_of_another_login_is_kept() -> None:
    path = filled()
    with unchanged(path):
        assert "already has a login" in call("import", "anna", stdin=STRINGS["mtcute"]).error
        assert "replace it with --force" in call("copy", "-", "anna", stdin=STRINGS["mtcute"]).error
    assert call("copy", "-", "anna", "--force", stdin=STRINGS["mtcute"]).code == 0
    assert rows_of(path, "sessions")[0][3] == OTHER_KEY
    assert [row[:2] for row in rows_of(path)] == [(0, 777000)]


@pytest.mark.parametrize("command", [["import", "anna"], ["copy", "-", "anna"]], ids=["import", "copy"])
def test_entities_of_another_account_are_kept(command: list[str]) -> None:
    path = changed(filled(), "update sessions set auth_key = x''")
    with unchanged(path):
        result = call(*command, stdin=STRINGS["mtcute"])
        assert f"has the entities of another account ({ACCOUNT}): choose another name" in result.error
    # The string does not tell the account.
    assert call(*command, stdin=STRINGS["gramjs"]).code == 0


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_an_entity_file_gets_no_login(options: list[str]) -> None:
    filled()
    string = RustStringSession.save(RustSQLiteSession("anna"))
    RustStringSession(string, entity_file="people").close()
    path = Path("people.session")
    with unchanged(path):
        for command in (["import", "people"], ["copy", "anna", "people", *options]):
            result = call(*command, stdin=string)
            assert "people.session is the entity file of a RustStringSession" in result.error
    RustStringSession(string, entity_file="people").close()


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no modes")
@pytest.mark.parametrize("command", [["import", "anna"], ["copy", "-", "anna"]], ids=["import", "copy"])
def test_a_file_that_gets_a_login_is_private(command: list[str]) -> None:
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute("pragma journal_mode = wal")
        file.execute("update version set version = version")
        file.commit()
        paths = [Path(f"anna.session{suffix}") for suffix in ("", "-wal", "-shm")]
        for path in paths:
            path.chmod(0o644)
        assert call(*command, stdin=STRINGS["mtcute"]).code == 0
        assert [path.stat().st_mode & 0o777 for path in paths] == [0o600] * 3


@pytest.mark.parametrize("options", [["--passcode-stdin"], ["--account", "2"]])
def test_a_string_has_no_passcode(options: list[str]) -> None:
    result = call("copy", "-", "anna", *options, stdin=STRINGS["mtcute"])
    assert "neither a passcode nor several accounts" in result.error
    assert list(Path().iterdir()) == []


def test_a_file_of_telethon_has_one_account() -> None:
    filled()
    assert "no account 2" in call("copy", "anna", "bob", "--account", "2").error
    assert call("copy", "anna", "bob", "--account", "0").code == 2
    assert "no passcode" in call("copy", "anna", "bob", "--passcode-stdin").error
    assert not Path("bob.session").exists()


@pytest.mark.parametrize("arguments", [[STRINGS["mtcute"], "anna"], ["-", STRINGS["mtcute"]], ["-", "a", "string"]])
def test_a_string_as_an_argument_is_refused_and_not_repeated(arguments: list[str]) -> None:
    result = call("copy", *arguments)
    assert result.code == 2 and "history" in result.err
    assert STRINGS["mtcute"][10:30] not in result.err


def test_standard_input_that_is_not_text() -> None:
    for command in (["import", "anna"], ["copy", "-", "anna"]):
        result = run(*command, input="\udcff\udcfe" * 200, errors="surrogateescape")
        assert "is not valid in a string session" in result.error
    filled("bob.session")
    result = run("copy", "bob", "anna", "--passcode-stdin", input="\udcff\n", errors="surrogateescape")
    assert "not valid text" in result.error


def test_endless_standard_input() -> None:
    with Path("/dev/zero").open("rb") as endless:
        assert run("import", "anna", stdin=endless).code == 1


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
@each_format
def test_the_prompt_takes_all_lines_of_a_paste(name: str) -> None:
    string = STRINGS[name]
    lines = "\n".join(string[at : at + 76] for at in range(0, len(string), 76))
    shown = run_on_terminal("import", "anna", typed=lines, prompt="session string: ")
    assert not any(line[:40] in shown for line in lines.split())
    assert rows_of("anna.session", "sessions")[0][3] == OTHER_KEY


def options_for(name: str) -> list[str]:
    return ["--api-id", "12345"] if "api_id" in FORMATS[name].needed else []


@each_format
def test_export(name: str) -> None:
    path = filled()
    with unchanged(path):
        result = call("export", "anna", "--format", name, *options_for(name))
    assert result.code == 0 and "full access" in result.err and result.out.strip() not in result.err
    found = read_string(result.out)
    assert (found.library, found.dc_id, found.auth_key) == (LIBRARIES[name], 2, KEY.key)
    assert found.user_id == (None if name == "gramjs" else ACCOUNT)
    assert not found.is_bot


@each_format
def test_export_and_import(name: str) -> None:
    call("import", "anna", stdin=STRINGS[name])
    more = ["--user-id", "777000"] if name == "gramjs" else []
    result = call("export", "anna", "--format", "pyrogram", "--api-id", "12345", "--bot", *more)
    assert result.out.strip() == STRINGS["pyrogram"]


@pytest.mark.parametrize("name", ["pyrogram", "mtkruto"])
def test_what_a_format_needs(name: str) -> None:
    path = filled()
    assert "give it with --api-id" in call("export", "anna", "--format", name).error
    changed(path, "delete from entities where id = 0")
    result = call("export", "anna", "--format", name)
    assert "give it with --api-id and --user-id" in result.error and result.out == ""
    assert "give it with --user-id" in call("export", "anna", "--format", name, "--api-id", "1").error
    found = read_string(call("export", "anna", "--format", name, "--api-id", "1", "--user-id", "2", "--bot").out)
    assert login_of(found) == Login(2, "149.154.167.51", 443, KEY.key, False, 2, True, 1)
    for value in ("0", "-1", "x", "9" * 30):
        assert call("export", "anna", "--format", name, "--api-id", value, "--user-id", "2").code != 0


@pytest.mark.parametrize(
    ("name", "options", "refused"),
    [
        ("telethon", ["--api-id", "1"], "--api-id"),
        ("gramjs", ["--user-id", "1", "--bot"], "--user-id and no --bot"),
        ("mtcute", ["--api-id", "1", "--user-id", "1"], "--api-id"),
    ],
)
def test_an_option_that_a_format_does_not_use(name: str, options: list[str], refused: str) -> None:
    filled()
    result = call("export", "anna", "--format", name, *options)
    assert f"--format {name} takes no {refused}:" in result.error and result.out == ""


def test_a_bot_is_known_by_its_username() -> None:
    path = filled()
    changed(path, "insert into entities (id, hash, username) values (?, 1, 'annika_bot')", ACCOUNT)
    for name in ("mtcute", "pyrogram"):
        assert read_string(call("export", path, "--format", name, *options_for(name)).out).is_bot


def test_a_test_server() -> None:
    path = changed(filled(), "update sessions set server_address = '149.154.167.40', port = 80")
    for name in FORMATS:
        found = read_string(call("export", path, "--format", name, *options_for(name)).out)
        assert found.is_test and found.server_address == "149.154.167.40"


@each_format
@pytest.mark.parametrize(
    "statement",
    [
        "update sessions set auth_key = zeroblob(256)",
        "update sessions set server_address = null, dc_id = 9",
        "update sessions set dc_id = 300",
        "update sessions set dc_id = 0",
        "update sessions set port = 70000",
    ],
)
def test_a_login_that_does_not_fit_a_string(name: str, statement: str) -> None:
    path = changed(filled(), statement)
    result = call("export", path, "--format", name, *options_for(name))
    assert "anna.session" in result.error and result.out == ""


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_export_prints_to_a_terminal_only_on_request() -> None:
    filled()
    refused, shown = (run_on_terminal("export", "anna", "--format", "mtcute", *more) for more in ([], ["--yes"]))
    string = call("export", "anna", "--format", "mtcute").out.strip()
    assert "--yes" in refused and string not in refused
    assert string in shown


def test_a_client_knows_who_it_is() -> None:
    call("import", "anna", stdin=STRINGS["mtcute"])
    session = RustSQLiteSession("anna")
    session.process_entities([entities.user(777000, 5)])
    session.close()
    assert SQLiteSession("anna").get_input_entity(0) == InputPeerUser(0, 777000)
    found = read_string(call("export", "anna", "--format", "mtcute", "--bot").out)
    assert login_of(found) == replace(LOGIN, api_id=None)

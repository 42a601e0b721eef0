"""`telethon-session export` and `import`, compared with Telethon's `StringSession`."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from support.cli import IS_POSIX, Result, call, changed, filled, rows_of, run, run_on_terminal, unchanged
from support.contents import KEY, OTHER_KEY
from support.real_files import DATA, FILES, telethon_can_open
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

GRAMJS = "1AgAOMTQ5LjE1NC4xNjcuNTEBu" + "A" * 340


def import_string(string: str, name: str) -> Result:
    return call("import", name, stdin=string)


def session_string(ip: str = "149.154.167.51", key: AuthKey = KEY) -> str:
    session = StringSession()
    session.set_dc(4, ip, 443)
    session.auth_key = key
    return session.save()


@pytest.mark.parametrize("real", [path for path in FILES if telethon_can_open(path)], ids=lambda path: path.stem)
def test_the_string_is_identical_to_telethons(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        result = call("export", "anna")
    theirs = ReferenceSQLiteSession("anna")
    assert (result.code, result.out) == (0, StringSession.save(theirs) + "\n")
    theirs.close()
    assert "full access" in result.err and result.out.strip() not in result.err


def test_copying_a_login_to_another_file() -> None:
    path = filled()
    exported = run("export", "anna")
    assert (exported.code, exported.out) == (0, call("export", "anna").out)
    assert run("import", "bob", input=exported.out).code == 0
    assert rows_of("bob.session", "sessions")[0][:4] == rows_of(path, "sessions")[0][:4]


def test_exporting_without_a_key() -> None:
    RustSQLiteSession("anna").close()
    assert "no valid auth key" in call("export", "anna").error


@pytest.mark.parametrize(
    "statement",
    [
        "update sessions set auth_key = randomblob(255)",
        "update sessions set auth_key = zeroblob(256)",
        "update sessions set server_address = null, dc_id = 9",
        "update sessions set dc_id = 300",
        "update sessions set port = 70000",
    ],
)
def test_a_login_that_does_not_fit_a_string(statement: str) -> None:
    result = call("export", changed(filled(), statement))
    assert "anna.session" in result.error
    assert result.out == ""


@pytest.mark.parametrize("string", [session_string(), session_string("2001:67c:4e8:f002::a")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ["anna", "anna.session"])
def test_telethon_opens_an_imported_file(string: str, name: str) -> None:
    result = import_string(f"  {string}\n", name)
    assert (result.code, result.out) == (0, "")
    assert string not in result.err
    theirs = SQLiteSession("anna")
    assert StringSession.save(theirs) == string
    theirs.close()
    assert call("export", "anna").out.strip() == string
    if IS_POSIX:
        assert stat.S_IMODE(Path("anna.session").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "string",
    ["", "\n", "2" + session_string()[1:], session_string()[:-5], session_string() + "!", "1", GRAMJS, "anna"],
    ids=range(8),
)
def test_an_invalid_string_creates_no_file(string: str) -> None:
    result = import_string(string, "anna")
    assert result.code == 1 and result.error
    assert not string.strip() or len(string) < 10 or string not in result.err
    assert list(Path().iterdir()) == []


def test_a_string_without_a_key() -> None:
    """Telethon never creates one. It reads a key of zeros as a session that is not logged in."""
    string = session_string(key=AuthKey(bytes(256)))
    assert StringSession(string).auth_key is None
    assert "no auth key" in import_string(string, "anna").error
    assert list(Path().iterdir()) == []


def test_a_login_is_not_overwritten() -> None:
    path = filled()
    with unchanged(path):
        assert "already has a login" in import_string(session_string(), "anna").error


def test_importing_into_a_file_without_a_login() -> None:
    path = filled()
    changed(path, "update sessions set auth_key = x''")
    path.chmod(0o644)
    entities = rows_of(path)
    assert import_string(session_string(key=OTHER_KEY), "anna").code == 0
    assert call("export", "anna").out.strip() == session_string(key=OTHER_KEY)
    assert rows_of(path) == entities
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ["anna", session_string()],
        [session_string()],
        ["anna", f"--string={session_string()}"],
        ["anna", "--string", session_string()],
    ],
    ids=range(4),
)
def test_a_string_as_an_argument_is_refused_and_not_repeated(arguments: list[str]) -> None:
    result = call("import", *arguments)
    assert result.code == 2
    assert "history" in result.err
    assert session_string()[10:30] not in result.err + result.out
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_export_prints_to_a_terminal_only_on_request() -> None:
    filled()
    refused, shown = (run_on_terminal("export", "anna", *more) for more in ([], ["--yes"]))
    string = call("export", "anna").out.strip()
    assert "--yes" in refused and string not in refused
    assert string in shown


LINES = "\n".join(session_string()[at : at + 76] for at in range(0, len(session_string()), 76))


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
@pytest.mark.parametrize("pasted", [session_string(), LINES, f"'{LINES}'"], ids=["line", "lines", "quotes"])
def test_import_prompts_on_a_terminal_without_echo(pasted: str) -> None:
    """It reads all lines of a paste, because the shell would execute the rest."""
    shown = run_on_terminal("import", "anna", typed=pasted, prompt="session string: ")
    assert not any(line[:40] in shown for line in pasted.split())
    assert call("export", "anna").out.strip() == session_string()


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_an_empty_line_ends_the_prompt() -> None:
    shown = run_on_terminal("import", "anna", typed=f"{session_string()[:-20]}\n", prompt="session string: ")
    assert "characters are missing" in shown
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "change", [lambda string: f"'{string}'", lambda string: string.replace("-", "+"), lambda _: LINES]
)
def test_a_pasted_string_is_imported(change: Callable[[str], str]) -> None:
    assert import_string(change(session_string()), "anna").code == 0
    assert call("export", "anna").out.strip() == session_string()


@pytest.mark.parametrize("string", (DATA / "gramjs-strings.txt").read_text().split())
def test_a_gram_js_string_is_imported(string: str) -> None:
    result = import_string(string, "anna")
    assert result.code == 0 and "GramJS" in result.err and string[10:30] not in result.err
    assert rows_of("anna.session", "sessions")[0][3] == bytes(range(256))

"""`telethon-session export` and `import`, beside Telethon's `StringSession`."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from support.cli import IS_POSIX, Answer, call, changed, filled, on_a_terminal, rows_of, run, unchanged
from support.contents import KEY, OTHER_KEY
from support.real_files import DATA, FILES, telethon_can_open
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

GRAMJS = "1AgAOMTQ5LjE1NC4xNjcuNTEBu" + "A" * 340


def given(string: str, name: str) -> Answer:
    return call("import", name, given=string)


def made(ip: str = "149.154.167.51", key: AuthKey = KEY) -> str:
    session = StringSession()
    session.set_dc(4, ip, 443)
    session.auth_key = key
    return session.save()


@pytest.mark.parametrize("real", [path for path in FILES if telethon_can_open(path)], ids=lambda path: path.stem)
def test_the_string_is_that_of_telethon(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        answer = call("export", "anna")
    theirs = ReferenceSQLiteSession("anna")
    assert (answer.code, answer.out) == (0, StringSession.save(theirs) + "\n")
    theirs.close()
    assert "logged in" in answer.err and answer.out.strip() not in answer.err


def test_from_one_file_into_another() -> None:
    """As two programs."""
    path = filled()
    exported = run("export", "anna")
    assert (exported.code, exported.out) == (0, call("export", "anna").out)
    assert run("import", "bob", input=exported.out).code == 0
    assert rows_of("bob.session", "sessions")[0][:4] == rows_of(path, "sessions")[0][:4]


def test_no_key() -> None:
    RustSQLiteSession("anna").close()
    assert "no key" in call("export", "anna").error


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
def test_a_login_that_makes_no_string(statement: str) -> None:
    answer = call("export", changed(filled(), statement))
    assert "anna.session" in answer.error
    assert answer.out == ""


@pytest.mark.parametrize("string", [made(), made("2001:67c:4e8:f002::a")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ["anna", "anna.session"])
def test_telethon_opens_what_was_imported(string: str, name: str) -> None:
    answer = given(f"  {string}\n", name)
    assert (answer.code, answer.out) == (0, "")
    assert string not in answer.err
    theirs = SQLiteSession("anna")
    assert StringSession.save(theirs) == string
    theirs.close()
    assert call("export", "anna").out.strip() == string
    if IS_POSIX:
        assert stat.S_IMODE(Path("anna.session").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "string", ["", "\n", "2" + made()[1:], made()[:-5], made() + "!", "1", GRAMJS, "anna"], ids=range(8)
)
def test_what_is_no_string_makes_no_file(string: str) -> None:
    answer = given(string, "anna")
    assert answer.code == 1 and answer.error
    assert not string.strip() or len(string) < 10 or string not in answer.err
    assert list(Path().iterdir()) == []


def test_a_string_without_a_key() -> None:
    """Telethon makes none, and takes one of zeros for a session that is not logged in."""
    string = made(key=AuthKey(bytes(256)))
    assert StringSession(string).auth_key is None
    assert "no key" in given(string, "anna").error
    assert list(Path().iterdir()) == []


def test_a_file_with_a_login_is_never_written_over() -> None:
    path = filled()
    with unchanged(path):
        assert "has a login already" in given(made(), "anna").error


def test_a_file_without_a_login_gets_one() -> None:
    path = filled()
    changed(path, "update sessions set auth_key = x''")
    path.chmod(0o644)
    entities = rows_of(path)
    assert given(made(key=OTHER_KEY), "anna").code == 0
    assert call("export", "anna").out.strip() == made(key=OTHER_KEY)
    assert rows_of(path) == entities
    if IS_POSIX:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [["anna", made()], [made()], ["anna", f"--string={made()}"], ["anna", "--string", made()]],
    ids=range(4),
)
def test_a_string_as_an_argument_is_refused_with_the_reason_and_not_repeated(arguments: list[str]) -> None:
    answer = call("import", *arguments)
    assert answer.code == 2
    assert "history" in answer.err
    assert made()[10:30] not in answer.err + answer.out
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_on_a_terminal_the_string_is_shown_only_if_it_must() -> None:
    filled()
    refused, shown = (on_a_terminal("export", "anna", *more) for more in ([], ["--yes"]))
    string = call("export", "anna").out.strip()
    assert "--yes" in refused and string not in refused
    assert string in shown


LINES = "\n".join(made()[at : at + 76] for at in range(0, len(made()), 76))


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
@pytest.mark.parametrize("pasted", [made(), LINES, f"'{LINES}'"], ids=["a line", "lines", "quotes"])
def test_on_a_terminal_the_string_is_asked_for_and_not_shown(pasted: str) -> None:
    """All of a paste of several lines is taken: what is left would go to the shell, as a command."""
    said = on_a_terminal("import", "anna", typed=pasted, prompt="session string: ")
    assert not any(line[:40] in said for line in pasted.split())
    assert call("export", "anna").out.strip() == made()


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_on_a_terminal_an_empty_line_ends_a_string() -> None:
    said = on_a_terminal("import", "anna", typed=f"{made()[:-20]}\n", prompt="session string: ")
    assert "characters are missing" in said
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "change", [lambda string: f"'{string}'", lambda string: string.replace("-", "+"), lambda _: LINES]
)
def test_a_pasted_string_is_imported(change: Callable[[str], str]) -> None:
    assert given(change(made()), "anna").code == 0
    assert call("export", "anna").out.strip() == made()


@pytest.mark.parametrize("string", (DATA / "gramjs-strings.txt").read_text().split())
def test_a_string_of_gram_js_is_named(string: str) -> None:
    answer = given(string, "anna")
    assert "this is a GramJS string" in answer.error and string[10:30] not in answer.err
    assert list(Path().iterdir()) == []

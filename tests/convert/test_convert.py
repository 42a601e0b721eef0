"""`convert`: sessions of any library become files and sessions on servers."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl.types import InputPeerUser

from support import servers
from support.cli import filled, rows_of, unchanged
from support.library_strings import Login, pyrogram_writes
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession, SessionError, open_session
from telethon_session_rust.convert import ConversionError, Converted, convert
from telethon_session_rust.entity import Entity
from telethon_session_rust.foreign.strings import FORMATS

pytestmark = pytest.mark.any_release

KEY = random.Random(15).randbytes(256)
LOGIN = Login(4, "149.154.167.91", 443, KEY, False, 777000, True, 12345)
FILLED_IN = "the address was filled in: that of data centre 4"


@pytest.fixture(scope="module")
def string() -> str:
    return pyrogram_writes("pyrogram-2.0.106", LOGIN)


def login_in(path: Any) -> tuple[Any, ...]:
    session = ReferenceSQLiteSession(str(path))
    login = (session.dc_id, session.server_address, session.port, session.auth_key.key)
    session.close()
    return login


@pytest.mark.parametrize("target", ["anna", "anna.session", Path("anna.session")])
def test_a_string_becomes_a_file(string: str, target: Any) -> None:
    assert convert(string, target) == Converted("Pyrogram", 777000, 0, (FILLED_IN,))
    assert login_in("anna.session") == (4, "149.154.167.91", 443, KEY)
    assert Path("anna.session").stat().st_mode & 0o077 == 0
    # As which Telethon's client stores the account.
    assert SQLiteSession("anna").get_input_entity(0) == InputPeerUser(0, 777000)


def test_a_file_of_telethon() -> None:
    path = filled()
    before = path.read_bytes()
    assert convert("anna", "bob") == Converted("Telethon", 12345, 100, ())
    assert path.read_bytes() == before
    assert convert(path, "carol") == Converted("Telethon", 12345, 100, ())
    expected = StringSession.save(ReferenceSQLiteSession("anna"))
    assert [StringSession.save(ReferenceSQLiteSession(name)) for name in ("bob", "carol")] == [expected] * 2
    assert rows_of("bob.session")[1:] == rows_of(path)[1:]


def test_a_string_of_telethon() -> None:
    filled()
    string = StringSession.save(ReferenceSQLiteSession("anna"))
    assert convert(f"'{string}'\n", "bob").library == "Telethon"
    assert StringSession.save(ReferenceSQLiteSession("bob")) == string


def test_a_target_with_the_login_keeps_what_it_knows(string: str) -> None:
    convert(string, "anna")
    session = RustSQLiteSession("anna")
    session.add_entities([Entity(5, "user", 6, "fiver")])
    session.close()
    convert(string, "anna")
    assert SQLiteSession("anna").get_input_entity("fiver") == InputPeerUser(5, 6)


def test_a_target_without_a_login(string: str) -> None:
    session = RustSQLiteSession("anna")
    session.add_entities([Entity(5, "user", 6, "fiver"), Entity(0, "user", 777000)])
    session.close()
    Path("anna.session").chmod(0o644)
    assert convert(string, "anna").entities == 0
    assert Path("anna.session").stat().st_mode & 0o077 == 0
    session = SQLiteSession("anna")
    assert (session.get_input_entity("fiver"), session.get_input_entity(0).access_hash) == (InputPeerUser(5, 6), 777000)
    assert login_in("anna")[3] == KEY


def test_entities_of_another_account_are_not_mixed_in(string: str) -> None:
    session = RustSQLiteSession("anna")
    session.add_entities([Entity(0, "user", 7)])
    session.close()
    path = Path("anna.session")
    with (
        unchanged(path),
        pytest.raises(ConversionError, match=r"entities of another account \(7\): choose another name$"),
    ):
        convert(string, path)


def test_another_login_is_not_overwritten(string: str) -> None:
    path = filled()
    with (
        unchanged(path),
        pytest.raises(ConversionError, match=r"anna\.session has another login: choose another name$"),
    ):
        convert(string, "anna")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nobody", r"nobody\.session: no such file"),
        (Path("nobody.session"), "no such file"),
        (".", "folder"),
        ("/dev/zero", "not a regular file"),
        ("text.txt", "not a database"),
        ("A" * 351, "not a valid Pyrogram string"),
        ("A" * 350, "none of them writes 350 characters"),
        ("", "folder|no such file|not a"),
        ("ftp://a#b", "no known kind of server"),
    ],
    ids=range(9),
)
def test_a_source_that_cannot_be_read(source: Any, reason: str) -> None:
    Path("text.txt").write_text("text" * 100)
    path = filled()
    with unchanged(path, Path("text.txt")), pytest.raises(ConversionError, match=reason) as caught:
        convert(source, "bob")
    assert len(str(source)) < 100 or source not in str(caught.value)
    for target in ("bob", path):
        with unchanged(path), pytest.raises(ConversionError):
            convert(source, target)


@pytest.mark.parametrize("name", FORMATS)
def test_a_string_in_place_of_a_name_is_not_repeated(name: str) -> None:
    path = filled()
    string = FORMATS[name].write(LOGIN.foreign())
    for source, target, reason in (
        (path, string, "swapped"),
        (path, Path(string), "swapped"),
        (path, f"'{string}'\n", "swapped"),
        (Path(string), "bob", "as a str"),
    ):
        with unchanged(path), pytest.raises(ConversionError, match=reason) as caught:
            convert(source, target)
        assert string[10:30] not in str(caught.value)


def test_a_long_name_is_not_taken_for_a_string(string: str, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 150) / ("b" * 150)
    folder.mkdir(parents=True)
    convert(string, folder / "anna")
    assert login_in(folder / "anna.session")[3] == KEY


@pytest.mark.parametrize("account", [0, -1, 2])
def test_an_account_that_does_not_exist(account: int) -> None:
    path = filled()
    with unchanged(path), pytest.raises(ConversionError, match="account"):
        convert(path, "bob", account=account)


def test_a_target_that_cannot_be_written(string: str) -> None:
    with pytest.raises(SessionError):
        convert(string, "missing/anna")
    Path("pyrogram.session").write_bytes(b"not a session")
    with unchanged(Path("pyrogram.session")), pytest.raises((SessionError, ConversionError)):
        convert(string, "pyrogram")
    with pytest.raises(ConversionError, match="names no session"):
        convert(string, "redis://127.0.0.1:1/0")
    with pytest.raises(SessionError):
        convert(string, "redis://127.0.0.1:1/0#anna")


def test_a_failure_leaves_no_new_file(string: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from telethon_session_rust.cli.writer import SessionWriter

    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(SessionWriter, "replace_credentials", fail)
    with pytest.raises(ConversionError, match="disk is full"):
        convert(string, "anna")
    assert list(Path().iterdir()) == []
    path = filled()
    with unchanged(path), pytest.raises(ConversionError, match="disk is full"):
        convert(path, "bob")
    assert list(Path().iterdir()) == [path]


def test_in_an_event_loop(string: str) -> None:
    async def main() -> Converted:
        return convert(string, "anna")

    assert asyncio.run(main()).user_id == 777000
    assert login_in("anna")[3] == KEY


def test_an_encrypted_target(string: str) -> None:
    encryption_key = bytes(range(32))
    convert(string, "anna", encryption_key=encryption_key)
    assert KEY not in Path("anna.session").read_bytes()
    session = RustSQLiteSession("anna", encryption_key=encryption_key)
    assert session.auth_key.key == KEY
    session.close()
    # It is decrypted and encrypted again.
    convert("anna", "bob", encryption_key=[encryption_key])
    assert RustSQLiteSession("bob", encryption_key=encryption_key).auth_key.key == KEY
    with pytest.raises(ConversionError, match=r"the login is encrypted: give the key as encryption_key=$"):
        convert("anna", "carol")
    for wrong in (b"short", [bytes(31)]):
        with pytest.raises(ValueError, match="32 bytes"):
            convert(string, "dave", encryption_key=wrong)


def test_a_session_on_a_server(string: str, server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # Is for the command line alone.
    monkeypatch.setenv("TELETHON_SESSION_PASSWORD", "wrong")
    location = f"{server.url()}#{servers.new_name()}"
    assert convert(string, location).library == "Pyrogram"
    assert convert(location, "back") == Converted("Telethon", 777000, 0, ())
    assert login_in("back") == (4, "149.154.167.91", 443, KEY)
    with pytest.raises(ConversionError, match="another login"):
        convert(FORMATS["mtcute"].write(Login(2, "149.154.167.51", 443, KEY[::-1]).foreign()), location)
    with closing(open_session(location)) as session:
        assert session.auth_key.key == KEY

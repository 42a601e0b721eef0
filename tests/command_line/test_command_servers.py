"""Sessions on servers: every command treats them as it treats a file, and `copy` moves them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from support import entities, servers
from support.cli import IS_POSIX, Result, call, filled, rows_of, run, run_on_terminal, unchanged
from support.contents import KEY, OTHER_KEY
from support.key_traces import traces
from support.ports import free_port
from support.real_files import FILES, telethon_can_open, version_of
from support.servers import new_name
from support.servers.fixtures import Start
from support.servers.proxy import Proxy
from telethon_session_rust import RustSQLiteSession, open_session
from telethon_session_rust.cli import remote, target
from telethon_session_rust.entity import Entity
from telethon_session_rust.foreign.strings import read_string

TABLES = ("entities", "update_state", "sent_files", "sessions")
# A kind of place beside the kinds of servers.
FILE = "file"
SECRET = "s3/cr@t#?:%"


def contents(path: str | Path) -> dict[str, set[Any]]:
    return {table: set(rows_of(path, table)) for table in TABLES}


def names(database: str) -> list[str]:
    return [one["file"].partition("#")[2] for one in call("list", database, "--json").json]


def log_in(location: str, key: AuthKey, ids: range = range(0)) -> None:
    session = open_session(location)
    session.set_dc(4, "149.154.167.91", 443)
    session.auth_key = key
    session.process_entities([entities.user(id, id) for id in ids])
    session.close()


@pytest.mark.parametrize("target", [FILE, *servers.KINDS])
@pytest.mark.parametrize("source", [FILE, *servers.KINDS])
def test_every_pair(source: str, target: str, start_server: Start) -> None:
    """Everything arrives, with its dates, from each kind of place in each other one."""
    path = filled()

    def place(kind: str) -> str:
        return f"copies/{new_name()}" if kind == FILE else f"{start_server(kind).url()}#{new_name()}"

    Path("copies").mkdir()
    first, second = place(source), place(target)
    with unchanged(path):
        there = call("copy", "anna", first)
    assert there.code == 0 and "anna.session still holds the login" in there.err
    copied, back = call("copy", first, second), call("copy", second, "back")
    assert {(result.code, *count_lines(result)) for result in (there, copied, back)} == {(0, *count_lines(there))}
    assert "left out" not in there.out + copied.out + back.out
    assert contents("back.session") == contents(path)
    if IS_POSIX:
        assert Path("back.session").stat().st_mode & 0o777 == 0o600


def count_lines(result: Result) -> list[str]:
    return [line for line in result.out.splitlines() if not line.startswith(("copied", "to"))]


@pytest.mark.parametrize("real", [path for path in FILES if telethon_can_open(path)], ids=lambda path: path.stem)
def test_real_files(real: Path, location: str) -> None:
    """Entities without a date come back without one."""
    path = Path(shutil.copyfile(real, "anna.session"))
    expected = call("entities", path, "--json").json if version_of(path) > 5 else []
    if not call("info", path, "--json").json["has_key"]:
        assert "not logged in" in call("copy", path, location).error
        return
    assert call("copy", path, location).code == call("copy", location, "back").code == 0
    found = call("entities", "back", "--json").json
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert call("export", "back").out == call("export", path).out == call("export", location).out


def test_commands_answer_as_for_a_file(location: str) -> None:
    filled()
    call("copy", "anna", location)
    of_file, of_server = (call("info", place, "--json").json for place in ("anna", location))
    unknown = {"file", "version", "encrypted", "size", "page_size", "free_pages", "journal_mode", "modified"}
    assert {key for key in of_file if of_file[key] != of_server[key]} == unknown
    assert {of_server[key] for key in unknown - {"file"}} == {None}
    assert call("check", location).code == 0
    assert call("export", location).out == call("export", "anna").out
    for options in ([], ["--username", "user1"], ["--phone", "+79990000001"], ["--name", "анна"], ["--id", "1"]):
        ours, theirs = (call("entities", place, "--json", *options).json for place in (location, "anna"))
        assert ours == theirs != []
    text = call("info", location).out
    assert of_server["file"] in text and not [trace for trace in traces(KEY.key) if trace in text]


def test_list_prints_names_that_other_commands_take(database: str) -> None:
    name = f"{new_name()} ä#?/%41"
    log_in(f"{database}#{quote(name, safe='')}", KEY)
    (url,) = (one["file"] for one in call("list", database, "--json").json if one["file"].endswith(quote(name)))
    assert name in call("list", database).out
    assert call("list", f"{database}#{quote(name, safe='')}", "--json").json[0]["file"] == url
    assert call("info", f"{database}#{url.partition('#')[2]}", "--json").json["dc_id"] == 4


def test_a_session_that_does_not_exist(location: str, database: str) -> None:
    for arguments in (
        ["info"],
        ["check"],
        ["entities"],
        ["export"],
        ["bench"],
        ["copy", "back"],
        ["merge", "--into", "b"],
    ):
        command, *others = arguments
        assert "no such session" in call(command, location, *others).error
    assert list(Path().iterdir()) == [] and location.partition("#")[2] not in names(database)


def test_importing(location: str) -> None:
    filled()
    string = call("export", "anna").out
    assert call("import", location, stdin=string).code == 0
    assert call("export", location).out == string
    assert "already has a login" in call("import", location, stdin=string).error


def test_merging_is_as_with_files(database: str) -> None:
    one, other, into = (f"{database}#{new_name()}" for _ in range(3))
    filled("anna.session", 50), filled("bob.session", 80)
    for path, place in (("anna", one), ("bob", other)):
        call("copy", path, place)
    of_servers = call("merge", one, other, "--into", into)
    of_files = call("merge", "anna", "bob", "--into", "both")
    call("merge", one, "bob", "--into", "mixed")
    assert "80, 80 of them new" in of_servers.out and "1, 1 of them new" in of_servers.out
    assert of_servers.out.splitlines()[1:] == of_files.out.splitlines()[1:]
    ours, theirs, mixed = (call("entities", place, "--json").json for place in (into, "both", "mixed"))
    assert ours == theirs == mixed
    assert not call("info", into, "--json").json["has_key"]
    assert "cannot be merged into itself" in call("merge", one, "--into", one).error


def test_bench_leaves_nothing_on_the_server(location: str, database: str) -> None:
    filled()
    call("copy", "anna", location)
    before = names(database)
    result = call("bench", location, "--seconds", 0.2)
    assert result.code == 0 and result.out.split()[1].startswith("Rust")
    assert names(database) == before


def test_another_login_is_replaced_by_force_only(location: str) -> None:
    log_in(location, OTHER_KEY, range(1000, 1003))
    filled()
    before = call("export", location).out
    assert "another login" in call("copy", "anna", location).error
    assert call("export", location).out == before
    assert call("copy", "anna", location, "--force").code == 0
    assert call("copy", location, "back").code == 0
    assert contents("back.session") == contents("anna.session")


@pytest.mark.parametrize("settings", ["journal_mode = delete", "journal_mode = wal", "page_size = 1024"])
def test_a_damaged_source_does_not_replace_a_login(location: str, settings: str) -> None:
    log_in(location, OTHER_KEY, range(1000, 1003))
    path = filled(count=2000)
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"pragma {settings}; vacuum;")
        (size,) = file.execute("pragma page_size").fetchone()
    whole = path.read_bytes()
    # The last page of the table with the most rows.
    path.write_bytes(whole[:-size] + bytes(size))
    before = [call(*command).out for command in (["export", location], ["entities", location])]
    assert "damaged" in call("copy", "anna", location, "--force").error
    assert [call(*command).out for command in (["export", location], ["entities", location])] == before
    path.write_bytes(whole)
    assert call("copy", "anna", location, "--force").code == 0
    assert call("export", location).out == call("export", "anna").out


def test_entities_of_another_account_are_replaced_by_force_only(location: str) -> None:
    session = open_session(location)
    session.add_entities([Entity(0, "user", 777000), Entity(1000, "user", 1, "others")])
    session.close()
    filled()
    assert "has the entities of another account (777000)" in call("copy", "anna", location).error
    assert call("entities", location, "--username", "others").code == 0
    assert call("copy", "anna", location, "--force").code == 0
    assert call("entities", location, "--username", "others").code == 1


def test_a_bot_is_known_by_its_username(location: str) -> None:
    session = RustSQLiteSession(filled())
    session.process_entities([entities.user(12345, 1, username="annika_bot")])
    session.close()
    assert call("copy", "anna", location).code == 0
    result = call("export", location, "--format", "pyrogram", "--api-id", "1")
    assert result.out == call("export", "anna", "--format", "pyrogram", "--api-id", "1").out
    assert read_string(result.out).is_bot


def test_another_login_in_a_file_is_replaced_by_force_only(location: str) -> None:
    log_in(location, OTHER_KEY, range(1, 3))
    path = filled()
    with unchanged(path):
        assert "another login" in call("copy", location, "anna").error
    assert call("copy", location, "anna", "--force").code == 0
    assert {row[0] for row in rows_of(path)} == {1, 2}
    assert rows_of(path, "update_state") == [] == rows_of(path, "sent_files")
    assert call("export", "anna").out == call("export", location).out


def test_the_newer_entity_wins(location: str) -> None:
    filled()
    call("copy", "anna", location)
    session = RustSQLiteSession("anna")
    session.add_entities([(1, "user", 1, None, None, "newer", 2**32 - 1), (2, "user", 1, None, None, "older", 1)])
    session.close()
    assert call("copy", "anna", location).code == 0
    found = {one["marked_id"]: one["name"] for one in call("entities", location, "--json").json}
    assert found[1] == "newer" and found[2] != "older"


def test_strings(location: str) -> None:
    filled()
    string = call("export", "anna").out
    assert call("copy", "-", location, stdin=string).code == 0
    result = call("copy", location, "-")
    assert result.out == string == StringSession(string.strip()).save() + "\n"
    assert "not copied" in result.err and string.strip() not in result.err
    assert call("copy", "-", "bob", stdin=f"'{string}'").code == 0
    assert call("copy", "-", "-", stdin=string).out == string
    for wrong in ("", string[:-9]):
        result = call("copy", "-", "eve", stdin=wrong)
        assert result.error and string[10:30] not in result.err
    assert not Path("eve.session").exists()


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_a_terminal_gets_a_string_only_on_request() -> None:
    filled()
    refused, shown = (run_on_terminal("copy", "anna", "-", *more) for more in ([], ["--yes"]))
    string = call("export", "anna").out.strip()
    assert "--yes" in refused and string not in refused
    assert string in shown


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_a_terminal_shows_progress(location: str) -> None:
    filled(count=5000)
    assert "copying" in run_on_terminal("copy", "anna", location)
    assert "reading" in run_on_terminal("entities", location, "--limit", "3")


def test_a_file_to_a_file() -> None:
    path = filled()
    assert call("copy", "anna", "bob").code == 0
    for table in TABLES:
        assert set(rows_of(path, table)) == set(rows_of("bob.session", table))
    assert "to itself" in call("copy", "anna", "./anna.session").error


def test_an_interrupted_copy_leaves_nothing(location: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled()
    call("copy", "anna", f"{database}#{new_name()}")
    before = names(database)

    def interrupt(self: target.RemoteWriter, rows: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(target.RemoteWriter, "replace_update_states", interrupt)
    assert call("copy", "anna", location).code == 130
    assert names(database) == before


def test_a_server_that_stops_answering(server: servers.Server, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login is written last, so what is left is not a login."""
    filled()
    with Proxy(server.port) as proxy:
        insert = target.RemoteWriter.insert

        def hang(self: target.RemoteWriter, table: str, rows: Any) -> None:
            insert(self, table, rows)
            proxy.hangs = True

        with monkeypatch.context() as patched:
            patched.setattr(target.RemoteWriter, "insert", hang)
            patched.setattr(remote, "_FLUSH_TIMEOUT", 0.2)
            patched.setattr(remote, "TIMEOUT", 2.0)
            result = call("copy", "anna", proxy.url(location))
        assert result.error and len(result.err.splitlines()) == 1
        proxy.hangs = False
    error = call("export", location).error
    assert "not logged in" in error or "no such session" in error


def test_a_session_in_use_is_not_written(location: str) -> None:
    filled()
    session = open_session(location, exclusive=True)
    assert "in use" in call("copy", "anna", location).error
    session.close()
    assert "no such session" in call("info", location).error


@pytest.fixture
def protected(server: servers.Server, database: str) -> str:
    """The URL of the database with a user whose password is `SECRET`, and without that password."""
    user = new_name()
    if isinstance(server, servers.RedisServer):
        assert server.ask(f'ACL SETUSER {user} on ">{SECRET}" ~* &* +@all') == "+OK"
    elif isinstance(server, servers.PostgresServer):
        server.run(f"create role {user} superuser login password '{SECRET}'")
    elif isinstance(server, servers.MySQLServer):
        server.run(f"create user {user}@'127.0.0.1' identified by '{SECRET}'; grant all on *.* to {user}@'127.0.0.1'")
    else:
        pytest.skip("the server has no users")
    parts = urlsplit(database)
    return parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}").geturl()


def test_passwords(protected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled()
    place = f"{protected}#{new_name()}"
    Path("password").write_text(f"{SECRET}\n")
    Path("wrong").write_text("wrong")

    def shown(result: Result) -> Result:
        assert SECRET not in result.out + result.err and quote(SECRET, safe="") not in result.out + result.err
        return result

    assert shown(call("copy", "anna", place, "--password-file", "password")).code == 0
    monkeypatch.setenv("TELETHON_SESSION_PASSWORD", SECRET)
    for arguments in (["info"], ["info", "--json"], ["check"], ["list"], ["entities"]):
        assert shown(call(arguments[0], place, *arguments[1:])).code == 0
    assert shown(call("info", place, "--password-file", "wrong")).error
    assert shown(run("info", place)).code == 0
    monkeypatch.setenv("TELETHON_SESSION_PASSWORD", "wrong")
    assert shown(call("copy", "anna", place, "--target-password-file", "password")).code == 0
    own = place.replace("@", f":{quote(SECRET, safe='')}@", 1)
    assert shown(call("info", own, "--json")).json["file"] == shown(call("info", own)).out.split()[1]


@pytest.mark.parametrize("scheme", ["redis", "postgresql", "mysql", "mongodb"])
def test_a_server_that_is_not_there(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telethon_session_rust.cli.remote.TIMEOUT", 0.2)
    filled()
    url = f"{scheme}://bot:s3cret@127.0.0.1:{free_port()}/0"
    for arguments in (["info", f"{url}#a"], ["list", url], ["copy", "anna", f"{url}#a"], ["import", f"{url}#a"]):
        result = call(*arguments)
        assert result.code == 1 and "s3cret" not in result.err and len(result.err.splitlines()) == 1


URLS = [
    "redis://:s3cret@h/0",
    "redis://:s3cret@h/x#a",
    "redis://:12#s3cret@h/0#a",
    "redis://:s3/cret@h/0#a",
    "postgresql://bot:s3cret@h/db?unknown=s3cret#a",
    "mysql://bot:s3cret@h:s3cret/db#a",
    "mongodb://bot:s3?cret@h/db#a",
    "http://bot:s3cret@h/#a",
    "s3cret://h#a",
    "redis://:s3cret@[h/0#a",
]


@pytest.mark.parametrize("url", URLS)
def test_an_invalid_url_is_not_repeated(url: str) -> None:
    filled()
    lines = [["info", url], ["merge", "anna", "--into", url], ["copy", "anna", url], ["repair", url], ["upgrade", url]]
    for arguments in [*lines, ["repair", "anna", "--into", url], ["list", f"{url}#b"], ["info", "anna", url]]:
        result = call(*arguments)
        assert result.code in (1, 2) and "cret" not in result.out + result.err


def test_a_file_that_is_not_a_password() -> None:
    Path("password").write_bytes(b"\xff")
    assert "password" in call("info", "redis://h#a", "--password-file", "password").error
    assert "missing" in call("info", "redis://h#a", "--password-file", "missing").error

"""Commands on files with entities that have several usernames."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from telethon.sessions.sqlite import CURRENT_VERSION

from support import entities, servers
from support.cli import call, changed, rows_of
from support.contents import KEY
from support.mutations import page_size
from support.servers import new_name
from support.servers.fixtures import Start
from telethon_session_rust import RustSQLiteSession

if not entities.HAS_USERNAMES:
    pytest.skip("this Telethon has no usernames", allow_module_level=True)

TABLE = "telethon_session_rust_usernames"
named = entities.named


def create(name: str = "anna", *more: object) -> Path:
    with closing(RustSQLiteSession(name)) as session:
        session.set_dc(2, "149.154.167.51", 443)
        session.auth_key = KEY
        session.process_entities([named(1, "anna", "anna", "annie"), named(2, None, "bob", "bobby"), *more])
    return Path(f"{name}.session")


def owners(name: str, usernames: str) -> list[int | None]:
    with closing(RustSQLiteSession(name)) as session:
        found = [session.get_entity_rows_by_username(username) for username in usernames.split()]
    return [row and row[0] for row in found]


def test_entities_finds_each_and_lists_the_main_one() -> None:
    create()
    for username, id in {"anna": 1, "Annie": 1, "https://t.me/bob": 2, "@bobby": 2}.items():
        (found,) = call("entities", "anna", "--username", username, "--json").json
        assert found["marked_id"] == id
    first, second = call("entities", "anna", "--json").json
    assert (first["username"], first["usernames"]) == ("anna", ["anna", "annie"])
    assert (second["username"], second["usernames"]) == ("bob", ["bob", "bobby"])
    assert "bob" in call("entities", "anna", "--id", "2").out
    assert call("entities", "anna", "--username", "nobody").code == 1


def test_check_knows_the_table() -> None:
    path = create()
    assert not call("check", path, "--json").json
    changed(path, f"update {TABLE} set username = x'ff' where username = 'bobby'")
    (found,) = call("check", path, "--json").json
    assert found["level"] == "wrong" and "other usernames" in found["what"] and "repair" in found["advice"]
    changed(path, f"drop table {TABLE}")
    changed(path, f"create table {TABLE} (anything)")
    (found,) = call("check", path, "--json").json
    assert found["level"] == "note" and TABLE in found["what"]


def test_repair_keeps_them() -> None:
    path = create("anna", *(named(n, f"main_{n}", f"other_{n}") for n in range(10, 3000)))
    assert call("repair", path, "--into", "new").code == 0
    assert owners("new", "annie bob bobby other_10 other_2999") == [1, 2, 2, 10, 2999]
    assert not call("check", "new", "--json").json
    # Without the page from which the tables are found, their rows are.
    data = bytearray(path.read_bytes())
    data[100 : page_size(data)] = bytes(page_size(data) - 100)
    path.write_bytes(data)
    assert "other usernames" in call("repair", path).out
    assert owners("anna", "annie bob bobby other_10 other_2999") == [1, 2, 2, 10, 2999]


def test_upgrade_keeps_them() -> None:
    if CURRENT_VERSION < 8:
        pytest.skip("this Telethon has no newer version")
    path = create()
    changed(path, "alter table sessions drop column tmp_auth_key")
    changed(path, "update version set version = 7")
    assert call("upgrade", path).code == 0
    assert rows_of(path, "version") == [(CURRENT_VERSION,)]
    assert owners("anna", "annie bob bobby") == [1, 2, 2]


def test_merge_leaves_each_to_the_entity_seen_last() -> None:
    old = create("old", named(3, None, "third", "shared"))
    new = create("new", entities.user(4, username="annie"), named(5, "shared", "bobby"))
    for path, date in ((old, 1000), (new, 2000)):
        for table in ("entities", TABLE):
            changed(path, f"update {table} set date = {date}")
    for sources in (("old", "new"), ("new", "old")):
        assert call("merge", *sources, "--into", "-".join(sources)).code == 0
        found = owners("-".join(sources), "anna annie bob bobby third shared")
        assert found == [1, 4, 2, 5, 3, 5], sources


@pytest.mark.parametrize("kind", servers.KINDS)
def test_copy_takes_them_along(kind: str, start_server: Start) -> None:
    create()
    location = f"{start_server(kind).url()}#{new_name()}"
    assert call("copy", "anna", location).code == 0
    (found,) = call("entities", location, "--username", "bobby", "--json").json
    assert found["usernames"] == ["bob", "bobby"]
    assert call("copy", location, "back").code == 0
    assert call("copy", "anna", "again").code == 0
    assert sorted(rows_of("back.session", TABLE)) == sorted(rows_of("anna.session", TABLE))
    assert sorted(rows_of("again.session", TABLE)) == sorted(rows_of("anna.session", TABLE))

"""`telethon-session entities`, compared with `get_input_entity` of Telethon's own session."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support.cli import call, changed, filled, rename_entity, rows_of, unchanged
from support.real_files import FILES, telethon_can_open, version_of
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import Entity, RustSQLiteSession


def found(*conditions: object) -> list[int]:
    """Returns the marked IDs. Without a match the exit code is 1."""
    result = call("entities", "anna", "--json", *conditions)
    ids = [one["marked_id"] for one in result.json]
    assert result.code == (0 if ids else 1)
    assert ids or "no matching entity" in result.error
    return ids


def telethon_finds(session: SQLiteSession, key: Any) -> list[int]:
    try:
        return [utils.get_peer_id(session.get_input_entity(key))]
    except ValueError:
        return []


@pytest.mark.parametrize(
    # Telethon removes all entities of version 5 and older.
    "real",
    [path for path in FILES if telethon_can_open(path) and version_of(path) > 5],
    ids=lambda path: path.stem,
)
def test_lookups_find_what_telethon_finds(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    theirs = ReferenceSQLiteSession(shutil.copyfile(real, "theirs.session"))
    rows = rows_of(path)[::4]
    with unchanged(path):
        for id, _, username, phone, *_ in rows:
            assert found("--id", id) == telethon_finds(theirs, id)
            assert telethon_finds(theirs, abs(id))[0] in found("--id", abs(id))
            if username:
                for typed in (username, f"@{username.upper()}", f"https://t.me/{username}", f"t.me/{username}"):
                    assert found("--username", typed) == telethon_finds(theirs, typed)
            if phone:
                for typed in (f"+{phone}", f"{phone}", f"+{str(phone)[0]} ({str(phone)[1:4]}) {str(phone)[4:]}"):
                    assert found("--phone", typed) == telethon_finds(theirs, typed)
    theirs.close()


def test_an_unmarked_id_is_looked_up_as_every_kind() -> None:
    filled()
    assert found("--id", 1) == [1]
    assert found("--id", 5) == [-1000000000005]
    assert found("--id", -1000000000005) == [-1000000000005]
    assert found("--id", 7) == found("--id", -7) == [-7]
    assert found("--id", 0) == [0]


def test_a_username_of_several_entities() -> None:
    """Telethon finds the entity seen last."""
    path = filled()
    changed(path, "update entities set username = 'shared', date = id where id in (1, 2, 4)")
    theirs = ReferenceSQLiteSession("anna")
    assert found("--username", "shared") == telethon_finds(theirs, "shared") == [4]
    theirs.close()


def test_a_part_of_a_name() -> None:
    rename_entity(filled(), 1, "Straße der ANNA")
    assert found("--name", "STRASSE") == [1]
    assert found("--name", "channel 5") == [-1000000000055, -1000000000050, -1000000000005]
    assert len(found("--name", "анна")) > 50
    assert found("--name", "nobody") == []


def test_entities_match_all_conditions() -> None:
    filled()
    assert found("--name", "анна", "--username", "user1") == [1]
    assert found("--name", "channel", "--username", "user1") == []
    assert found("--id", 1, "--username", "user1") == [1]
    assert found("--id", 2, "--username", "user1") == []


@pytest.mark.parametrize("condition", [["--username", "a b"], ["--phone", "anna"], ["--phone", ""]], ids=str)
def test_invalid_conditions(condition: list[str]) -> None:
    filled()
    assert "is not a valid" in call("entities", "anna", *condition).error


def test_the_table() -> None:
    path = filled()
    row = {row[0]: row for row in rows_of(path)}[1]
    head, line = call("entities", "anna", "--id", 1).out.splitlines()
    assert head.split() == ["id", "kind", "username", "phone", "name", "last", "seen"]
    assert line.split()[:6] == ["1", "user", "user1", "+79990000001", "Анна", "1"]
    assert str(row[1]) not in line
    assert call("entities", "anna", "--id", 1, "--hashes").out.splitlines()[1].split()[-1] == str(row[1])


def test_the_json() -> None:
    path = filled()
    listed = call("entities", "anna", "--json").json
    ids, hashes, usernames, numbers, names, dates = zip(*rows_of(path), strict=True)
    phones = [number and str(number) for number in numbers]
    keys = ("marked_id", "access_hash", "username", "phone", "name", "last_seen")
    assert [tuple(one[key] for key in keys) for one in listed] == list(
        zip(ids, hashes, usernames, phones, names, dates, strict=True)
    )
    kinds = {types.PeerUser: "user", types.PeerChat: "chat", types.PeerChannel: "channel"}
    assert [one["kind"] for one in listed] == ["account" if id == 0 else kinds[utils.resolve_id(id)[1]] for id in ids]
    assert [one["id"] for one in listed] == [utils.resolve_id(id)[0] for id in ids]
    assert [*listed[0]] == [*Entity._fields, "marked_id"]
    session = RustSQLiteSession("anna")
    known = [Entity(**{field: one[field] for field in Entity._fields}) for one in listed if one["id"]]
    assert sorted(known) == sorted(session.entities())
    session.close()


@pytest.mark.parametrize("kind", ["user", "chat", "channel"])
def test_a_kind(kind: Any) -> None:
    path = filled()
    with closing(RustSQLiteSession("anna")) as session:
        expected = sorted(entity.marked_id for entity in session.entities(kind))
        assert len(expected) == session.count_entities(kind)
    with unchanged(path):
        assert found("--kind", kind) == expected


def test_a_limit() -> None:
    filled()
    result = call("entities", "anna", "--limit", 3)
    assert len(result.out.splitlines()) == 4 and "only the first 3 entities" in result.err
    result = call("entities", "anna", "--limit", 101)
    assert len(result.out.splitlines()) == 102 and result.err == ""
    assert len(call("entities", "anna", "--limit", 0, "--json").json) == 101


def test_more_entities_than_a_batch() -> None:
    path = filled(count=12_000)
    assert [one["marked_id"] for one in call("entities", "anna", "--json").json] == [row[0] for row in rows_of(path)]


def test_a_file_without_entities_is_not_an_error() -> None:
    SQLiteSession("anna").close()
    assert (call("entities", "anna").code, call("entities", "anna", "--json").json) == (0, [])

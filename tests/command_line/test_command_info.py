"""`telethon-session info` and `list`, compared with what SQLite counts and Telethon reads."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon import utils
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support.cli import call, changed, fill, filled, rows_of, unchanged
from support.contents import KEY
from support.key_traces import traces
from support.real_files import FILES, SPOILED, version_of
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.cli import info


def counted(rows: list[tuple[Any, ...]]) -> dict[str, int]:
    """Counts entities by kind, as Telethon interprets their IDs, and by name."""
    kinds = [utils.resolve_id(row[0])[1] for row in rows if row[0] != 0]
    named = {
        f"with_{what}": sum(row[at] is not None for row in rows)
        for what, at in zip(["username", "phone", "name"], range(2, 5), strict=True)
    }
    peers = {"users": types.PeerUser, "chats": types.PeerChat, "channels": types.PeerChannel}
    return {"entities": len(rows), **{what: kinds.count(kind) for what, kind in peers.items()}, **named}


@pytest.mark.parametrize("real", FILES, ids=lambda path: path.stem)
def test_real_files(real: Path) -> None:
    path = Path(shutil.copyfile(real, "anna.session"))
    with unchanged(path):
        about = call("info", "anna", "--json").json
        text = call("info", path).out
    version = version_of(real)
    rows, (login,) = rows_of(path), rows_of(path, "sessions")
    assert about.items() >= counted(rows).items()
    assert about["version"] == version
    assert [about[what] for what in ("dc_id", "server_address", "port")] == list(login[:3])
    assert about["has_key"] and not about["has_tmp_key"]
    assert about["takeout_id"] == (login[4] if version >= 5 and real.stem != SPOILED else None)
    assert about["sent_files"] == (len(rows_of(path, "sent_files")) if version >= 2 else 0)
    assert about["update_states"] == (len(rows_of(path, "update_state")) if version >= 4 else 0)
    assert about["size"] == path.stat().st_size
    assert (about["newest"] is None) == (version < 7 or not rows)
    assert f"{len(rows):,}: " in text and f"database version  {version}\n" in text
    assert not [trace for trace in traces(login[3]) if trace in text + json.dumps(about)]


@pytest.mark.parametrize("cls", [SQLiteSession, RustSQLiteSession], ids=lambda cls: cls.__name__)
def test_files_of_both_classes(cls: type) -> None:
    fill(cls("anna"))
    about = call("info", "anna", "--json").json
    rows = rows_of("anna.session")
    assert about.items() >= counted(rows).items()
    assert (about["account_id"], about["takeout_id"], about["journal_mode"]) == (12345, 7, "delete")
    assert not [trace for trace in traces(KEY.key) if trace in call("info", "anna").out]


def test_the_help_names_all_keys() -> None:
    about = call("info", filled(), "--json").json
    named = info._DESCRIPTION.partition("keys of --json:")[2].partition("Unknown values")[0]
    assert set(about) == set(named.replace(",", " ").partition("(bytes")[0].split()) | {
        "journal_mode",
        "modified",
        "newest",
        "oldest",
    }


def test_a_session_without_a_login() -> None:
    RustSQLiteSession("anna").close()
    about = call("info", "anna", "--json").json
    assert (about["has_key"], about["dc_id"], about["entities"], about["newest"]) == (False, None, 0, None)
    assert "none, none" in call("info", "anna").out


def test_times_and_free_pages() -> None:
    path = filled(count=2000)
    changed(path, "delete from entities where id > 1000")
    changed(path, "update entities set date = 1700000000 where id = 1")
    about = call("info", path, "--json").json
    with closing(sqlite3.connect(path)) as file:
        (free,) = file.execute("pragma freelist_count").fetchone()
    assert about["free_pages"] == free > 0
    assert about["oldest"] == "2023-11-14T22:13:20+00:00"
    assert about["newest"] > about["oldest"]


def test_invalid_values_are_not_shown() -> None:
    """A part of the key could be stored as the address."""
    path = changed(filled(), "update sessions set server_address = ?", KEY.key.hex())
    result = call("info", path)
    assert result.code == 0
    assert KEY.key.hex()[:20] not in result.out


def test_list() -> None:
    folder = Path("some folder")
    folder.mkdir()
    for real in FILES:
        shutil.copyfile(real, folder / real.name)
    (folder / "notes.txt").write_text("nothing")
    (folder / "broken.session").write_bytes(FILES[0].read_bytes()[:5000])
    with unchanged(*folder.glob("*.session")):
        listed = {Path(one["file"]).stem: one for one in call("list", folder, "--json").json}
        text = call("list", folder).out
    assert set(listed) == {*(real.stem for real in FILES), "broken"}
    assert "malformed" in listed.pop("broken")["error"]
    assert {name: one["version"] for name, one in listed.items()} == {real.stem: version_of(real) for real in FILES}
    assert all(one["error"] is None and one["has_key"] for one in listed.values())
    (broken,) = (line for line in text.splitlines() if line.startswith("broken "))
    assert "repair" in broken
    assert len(text.splitlines()) == len(FILES) + 2


def test_list_without_session_files() -> None:
    result = call("list")
    assert (result.code, result.out) == (0, "")
    assert "no session files" in result.err
    assert call("list", "--json").json == []

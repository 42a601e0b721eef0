"""Folders of a `StoreSession`, written by GramJS."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.sessions import SQLiteSession
from telethon.tl.types import InputPeerChannel, InputPeerChat, InputPeerUser

from support.cli import rows_of
from support.library_strings import Login, gram_js_stores, login_of
from telethon_session_rust.convert import ConversionError, Converted, convert
from telethon_session_rust.entity import Entity
from telethon_session_rust.foreign.files import read_file

pytestmark = pytest.mark.any_release

LOGIN = Login(4, "149.154.167.92", 443, random.Random(18).randbytes(256))
# Kind, ID, access hash, name, username and phone. The last but one begins with the mark of
# channels.
PEOPLE = [
    ("User", "777", "-888", "Анника", "Annika", "79990000777"),
    ("User", "1099511627775", "9223372036854775807", "", None, None),
    ("Channel", "1234567890", "5", "Channel", "headlines", None),
    ("Channel", "5", "-9223372036854775808", "Small", None, None),
    ("Chat", "100123", "0", "Chat", None, None),
    ("Chat", "7", "0", "Chat 7", None, None),
]
NOTE = "the account's ID is not known until the first connection"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return gram_js_stores(tmp_path, LOGIN, PEOPLE)


def value(stored: Path, name: str) -> Path:
    return stored / f"{stored.name}%3A{name}"


def test_a_folder(stored: Path) -> None:
    assert convert(stored.name, "bob") == Converted("GramJS", None, 6, (NOTE,))
    assert convert(stored, "carol").entities == 6
    session = SQLiteSession("bob")
    assert (session.dc_id, session.server_address, session.port) == (4, "149.154.167.92", 443)
    assert session.auth_key.key == LOGIN.key
    assert session.get_input_entity("annika") == session.get_input_entity("+79990000777") == InputPeerUser(777, -888)
    assert session.get_input_entity("headlines") == InputPeerChannel(1234567890, 5)
    assert session.get_input_entity(-1000000000005) == InputPeerChannel(5, -(2**63))
    assert session.get_input_entity(-100123) == InputPeerChat(100123)
    session.close()
    found = read_file(stored, passcode=None, account=1)
    assert found
    (annika,) = [entity for entity in found.entities() if entity.id == 777]
    assert annika[:-1] == Entity(777, "user", -888, "annika", "79990000777", "Анника")[:-1]
    assert annika.last_seen and annika.last_seen > 1_700_000_000


def test_a_host_name(tmp_path: Path) -> None:
    stored = gram_js_stores(tmp_path, Login(2, "venus.web.telegram.org", 443, LOGIN.key))
    found = read_file(stored, passcode=None, account=1)
    assert found and login_of(found).address == "149.154.167.51" and "filled in" in found.notes[0]


def test_it_has_one_account(stored: Path) -> None:
    with pytest.raises(ConversionError, match="no account 2"):
        convert(stored, "bob", account=2)


@pytest.mark.parametrize("name", ["authKey", "dcId", "777"])
@pytest.mark.parametrize(
    "content",
    ["", "[" * 50_000, "{", "null", "[]", '{"type":"Buffer","data":[256]}', '{"data":"A"}', "1e999", "9" * 5000, "-1"],
    ids=range(10),
)
def test_a_malformed_value(stored: Path, name: str, content: str) -> None:
    (value(stored, name)).write_text(content)
    if name == "777":
        damaged = "people left out, because their files are damaged: 1"
        assert convert(stored, "bob") == Converted("GramJS", None, 5, (NOTE, damaged))
        return
    with pytest.raises(ConversionError) as caught:
        convert(stored, "bob")
    assert not Path("bob.session").exists()
    is_json = content not in ("", "[" * 50_000, "{", "9" * 5000)
    assert is_json or f"its file {value(stored, name).name} is not JSON" in str(caught.value)


def test_a_name_that_is_not_text(stored: Path) -> None:
    path = value(stored, "777")
    path.write_text(path.read_text().replace("Анника", r"\ud83d"))
    assert r"\ud83d" in path.read_text()
    assert convert(stored, "bob").entities == 6
    assert {row[0]: row[4] for row in rows_of("bob.session")}[777] is None


def test_files_that_are_none(stored: Path) -> None:
    os.mkfifo(value(stored, "778"))
    (value(stored, "779")).symlink_to("/dev/zero")
    (value(stored, "780")).mkdir()
    (value(stored, "781")).write_text("[" + "1," * 1_000_000 + "1]")
    assert convert(stored, "bob").entities == 6
    value(stored, "dcId").write_text("[" + "1," * 1_000_000 + "1]")
    with pytest.raises(ConversionError, match=r"dcId is larger"):
        convert(stored, "carol")
    for name in ("authKey", "dcId"):
        (value(stored, name)).unlink()
        os.mkfifo(value(stored, name))
        with pytest.raises(ConversionError):
            convert(stored, "carol")
    assert not Path("carol.session").exists()


@given(st.data())
def test_damaged_values(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    stored = gram_js_stores(folder, LOGIN, PEOPLE)
    path = data.draw(st.sampled_from(sorted(stored.iterdir())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_file(stored, passcode=None, account=1)
        assert found
        entities = list(found.entities())
    except ConversionError:
        pass
    else:
        changed = sum(one != other for one, other in zip(found.auth_key, LOGIN.key, strict=True))
        assert changed <= 1 and len(entities) >= 5
    shutil.rmtree(folder)

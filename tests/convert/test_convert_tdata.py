"""Telegram Desktop's tdata, written by opentele, compared with what opentele reads of it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.counters import tally
from support.file_client import fast_folder
from support.libraries import Start
from telethon_session_rust.foreign.files import read_file
from telethon_session_rust.foreign.session import ConversionError, ForeignSession

pytestmark = pytest.mark.any_release

Write: TypeAlias = Callable[..., list[Any]]
NAMES = ["D877F783D5D3EF8C", "A7FDF864FBC10B77", "F8806DD0C461824F"]


def key(seed: int) -> str:
    return random.Random(seed).randbytes(256).hex()


def account(index: int = 0, **changes: Any) -> dict[str, Any]:
    """An account with keys of other data centres before and after that of the login."""
    keys = [[1, key(1)], [4, key(10 + index)], [5, key(5)]]
    return {"index": index, "user_id": 2**40 - 1 - index, "dc_id": 4, "keys": keys, "is_test": False} | changes


@pytest.fixture
def write(library: Start) -> Write:
    """Returns a function that writes tdata with opentele, and returns the accounts that opentele reads."""

    def write(folder: Path, *accounts: dict[str, Any], passcode: str = "", is_old: bool = False) -> list[Any]:
        content = {"folder": str(folder), "accounts": accounts, "passcode": passcode, "is_old": is_old}
        found: list[Any] = library("opentele-1.15.1", "write_tdata.py").call(content)
        if is_old:
            (folder / "key_datas").unlink()
        return found

    return write


@pytest.fixture
def written(folder: Path, write: Write) -> Path:
    """A folder with one account."""
    write(folder / "tdata", account())
    return folder / "tdata"


def read(folder: Path, passcode: str | None = None, account: int = 1) -> ForeignSession:
    before = contents(folder)
    try:
        found = read_file(folder, passcode=passcode, account=account)
    finally:
        assert contents(folder) == before
    assert found is not None
    assert found.auth_key.hex() not in repr(found)
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def login(session: ForeignSession) -> list[Any]:
    return [session.user_id, session.dc_id, session.auth_key.hex()]


PASSCODES = ["", "1234", "пароль 🔑", "é" * 20]


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("passcode", PASSCODES)
def test_a_passcode(passcode: str, is_old: bool, folder: Path, write: Write) -> None:
    (expected,) = write(folder, account(user_id=2**31 - 1), passcode=passcode, is_old=is_old)
    found = read(folder, passcode or None)
    assert login(found) == expected
    assert (found.library, found.server_address, found.port) == ("Telegram Desktop", "149.154.167.91", 443)
    assert (found.is_test, found.is_bot, list(found.entities())) == (False, None, [])
    if passcode:
        with pytest.raises(ConversionError, match="the passcode is wrong"):
            read(folder, passcode + " ")
        for missing in (None, ""):
            with pytest.raises(ConversionError, match=r"local passcode protects it: give it"):
                read(folder, missing)
    else:
        assert "was not needed" in read(folder, "1234").notes[0]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_passcode_in_another_unicode_form(form: Any, folder: Path, write: Write) -> None:
    (expected,) = write(folder, account(), passcode=unicodedata.normalize(form, "Zürich"))
    for typed in ("NFC", "NFD"):
        assert login(read(folder, unicodedata.normalize(typed, "Zürich"))) == expected


def test_accounts(folder: Path, write: Write) -> None:
    """They are counted in Telegram Desktop's order, which is not that of their files."""
    expected = write(folder, account(2), account(0), account(1, is_test=True, dc_id=2, keys=[[2, key(3)]]))
    assert len(expected) == 3
    for number, accounts in enumerate(expected, 1):
        found = read(folder, account=number)
        assert login(found) == accounts
        assert found.notes[0] == f"Telegram Desktop has 3 accounts; this is account {number}"
        assert (found.is_test, found.server_address) == (
            (True, "149.154.167.40") if number == 3 else (False, "149.154.167.91")
        )
    for number in (0, 4, -1, 2**40):
        with pytest.raises(ConversionError, match=r"it has 3 accounts"):
            read(folder, account=number)


def test_one_account(folder: Path, write: Write) -> None:
    write(folder, account())
    with pytest.raises(ConversionError, match=r"it has 1 account,"):
        read(folder, account=2)


@pytest.mark.parametrize("dc_id", [6, 4])
def test_an_unknown_data_centre(dc_id: int, folder: Path, write: Write) -> None:
    write(folder, account(dc_id=dc_id, keys=[[dc_id, key(1)]], is_test=dc_id == 4))
    with pytest.raises(ConversionError, match=rf"data centre {dc_id} is not one of Telegram's"):
        read(folder)


def test_where_it_is_found(folder: Path, write: Write) -> None:
    tdata = folder / "tdata"
    (expected,) = write(tdata, account())
    for path in (tdata, folder, tdata / "key_datas", tdata / f"{NAMES[0]}s"):
        found = read_file(path, passcode=None, account=1)
        assert found and login(found) == expected


@pytest.mark.parametrize("name", ["key_data", NAMES[0], f"{NAMES[0]}/config"])
def test_copies(name: str, folder: Path, write: Write) -> None:
    """As Telegram Desktop, reads the newest way of writing first, then the newer copy; and one that is intact."""
    (old,) = write(folder, account(keys=[[4, key(7)]]))
    older = folder / f"{name}0"
    shutil.copyfile(folder / f"{name}s", older)
    os.utime(older, (0, 0))
    assert login(read(folder)) == old
    (folder / f"{name}s").rename(folder / f"{name}1")
    assert login(read(folder)) == old
    damaged = folder / f"{name}1"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    found = read(folder)
    assert login(found) == old
    assert f"{damaged.name} is damaged, so the older copy {older.name} was read" in found.notes
    older.unlink()
    if name.endswith("config"):
        assert any("configuration is damaged" in note for note in read(folder).notes)
    else:
        with pytest.raises(ConversionError, match=rf"{damaged.name} is damaged: its checksum is wrong"):
            read(folder)


def test_an_account_without_a_login(folder: Path, write: Write) -> None:
    write(folder, account(user_id=0))
    with pytest.raises(ConversionError, match="account 1 is not logged in"):
        read(folder)


@pytest.mark.parametrize("name", ["key_datas", f"{NAMES[0]}s", f"{NAMES[0]}/configs"])
def test_every_damage_is_noticed(name: str, folder: Path, write: Write) -> None:
    write(folder, account())
    path = folder / name
    intact, choice = path.read_bytes(), random.Random(2)
    for damaged in [intact[: choice.randrange(len(intact))] for _ in range(30)] + [
        flipped(intact, choice) for _ in range(70)
    ]:
        path.write_bytes(damaged)
        if name.endswith("configs"):
            assert any("configuration is damaged" in note for note in read(folder).notes)
        else:
            with pytest.raises(ConversionError, match="damaged"):
                read(folder)
        tally("damaged files of tdata")


def flipped(data: bytes, choice: random.Random) -> bytes:
    at = choice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choice.randrange(8)]) + data[at + 1 :]


def signed(content: bytes) -> bytes:
    """Returns a file of Telegram Desktop with a valid checksum."""
    version = struct.pack("<i", 5_000_000)
    digest = hashlib.md5(content + struct.pack("<i", len(content)) + version + b"TDF$").digest()
    return b"TDF$" + version + content + digest


@given(
    st.binary(max_size=600)
    | st.lists(st.binary(max_size=300), max_size=4).map(
        lambda arrays: b"".join(struct.pack(">I", len(array)) + array for array in arrays)
    ),
    st.sampled_from(["key_datas", f"{NAMES[0]}s", f"{NAMES[0]}/maps"]),
)
@settings(max_examples=200)
def test_any_content_with_a_valid_checksum(written: Path, content: bytes, name: str) -> None:
    with fast_folder() as folder:
        shutil.copytree(written, folder, dirs_exist_ok=True)
        (folder / name).write_bytes(signed(content))
        if name.endswith("maps"):
            (folder / "key_datas").unlink()
        with pytest.raises(ConversionError):
            read(folder)
    tally("damaged files of tdata")


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 2**48 - 1), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([1, 2, 3, 4, 5, 203]), min_size=1, max_size=6, unique=True),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10),
    st.data(),
)
@settings(max_examples=10)
def test_any_tdata(write: Write, user_ids: list[int], dc_ids: list[int], passcode: str, data: st.DataObject) -> None:
    with fast_folder() as folder:
        accounts = [
            account(
                index, user_id=user_id, dc_id=data.draw(st.sampled_from(dc_ids)), keys=[[dc, key(dc)] for dc in dc_ids]
            )
            for index, user_id in enumerate(user_ids)
        ]
        expected = write(folder, *accounts, passcode=passcode)
        for number, content in enumerate(expected, 1):
            assert login(read(folder, passcode, number)) == content
    tally("session files of other libraries")

"""Session files that Pyrogram and its forks write."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon import utils
from telethon.tl.types import PeerUser

from support.counters import tally
from support.file_client import fast_folder
from support.libraries import Library, Start
from telethon_session_rust import RustSQLiteSession
from telethon_session_rust.convert import convert
from telethon_session_rust.entity import Entity
from telethon_session_rust.foreign import database
from telethon_session_rust.foreign.files import read_file
from telethon_session_rust.foreign.session import ConversionError, ForeignSession

pytestmark = pytest.mark.any_release

Write: TypeAlias = Callable[[Path, str, dict[str, Any]], Path]

# The database version that each writes. Versions 1 and 5 are not on PyPI.
WRITERS = {
    "pyrogram-0.16.0": 2,
    "pyrogram-1.0.7": 2,
    "pyrogram-2.0.106": 3,
    "pyrofork-2.3.69": 4,
    "kurigram-2.1.35": 6,
    "kurigram-2.2.26": 7,
}
PROGRAM = "write_pyrogram.py"
STATES = {"pyrofork-2.3.69": "update_state", "kurigram-2.1.35": "update_state", "kurigram-2.2.26": "set_update_state"}
ZERO = -1_000_000_000_000
KEY = random.Random(1).randbytes(256)

# ID, access hash, kind, usernames and phone number.
Peer = tuple[int, int | None, str, list[str], str | None]
PEERS: list[Peer] = [
    (777000, 5, "user", ["telegram"], "42777"),
    (2**40 - 1, -(2**63), "bot", ["a_bot", "another"], None),
    (1, 2**63 - 1, "user", [], None),
    (-4321, 0, "group", [], None),
    (ZERO - 1, 7, "supergroup", ["Group"], None),
    (ZERO - 997_852_516_352, -8, "channel", [], None),
]

# More than are read at once.
MANY: list[Peer] = [(id, id * 7, "user", [f"name_{id}"] if id % 3 else [], None) for id in range(1, 12_001)]


def session(**changes: Any) -> dict[str, Any]:
    login = {
        "dc_id": 4,
        "api_id": 6,
        "test_mode": False,
        "auth_key": KEY.hex(),
        "date": 0,
        "user_id": 2**33,
        "is_bot": False,
        # Only Kurigram stores them.
        "server_address": "149.154.167.92",
        "port": 443,
    }
    return {
        "login": login | changes.pop("login", {}),
        "peers": PEERS,
        "states": [],
        "options": {},
        "keep_open": False,
    } | changes


@pytest.fixture
def write(library: Start) -> Write:
    """Returns a function that writes a session with a library."""

    def write(folder: Path, writer: str, content: dict[str, Any]) -> Path:
        library(writer, PROGRAM).call(content | {"folder": str(folder), "name": "anna"})
        return folder / "anna.session"

    return write


def read(path: Path) -> ForeignSession:
    before = contents(path.parent)
    found = read_file(path, passcode=None, account=1)
    assert found is not None
    list(found.entities()), list(found.update_states())
    assert contents(path.parent) == before
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(peer: Peer) -> tuple[Any, ...]:
    id, access_hash, kind, usernames, phone = peer
    username = usernames[0].lower() if usernames else None
    if id > 0:
        return (id, "user", access_hash, username, phone, None)
    return (
        (-id, "chat", 0, None, None, None)
        if kind == "group"
        else (ZERO - id, "channel", access_hash, username, phone, None)
    )


def without_date(entities: Any) -> set[tuple[Any, ...]]:
    return {entity[:-1] for entity in entities}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_session(writer: str, folder: Path, write: Write) -> None:
    path = write(folder, writer, session())
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("select number from version").fetchall() == [(WRITERS[writer],)]
    found = read(path)
    stores_address, stores_api_id = WRITERS[writer] >= 7, WRITERS[writer] >= 3
    assert (found.library, found.dc_id, found.auth_key) == (writer.split("-")[0].title(), 4, KEY) or "fork" in writer
    assert (found.server_address, found.port) == ("149.154.167.92" if stores_address else "149.154.167.91", 443)
    assert (found.user_id, found.is_bot, found.is_test) == (2**33, False, False)
    assert found.api_id == (6 if stores_api_id else None)
    assert KEY.hex() not in repr(found)
    entities = list(found.entities())
    assert without_date(entities) == set(map(expected, PEERS))
    assert all(entity.last_seen and entity.last_seen > 1_700_000_000 for entity in entities)


def test_peers_of_version_1_are_left_out(folder: Path, write: Write) -> None:
    """Pyrogram removes them when it upgrades such a file."""
    path = write(folder, "pyrogram-0.16.0", session())
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("update version set number = 1")
    found = read(path)
    assert (found.auth_key, list(found.entities())) == (KEY, [])
    assert [note.rpartition(" ")[2] for note in found.notes] == [str(len(PEERS))]


def test_a_session_that_kurigram_upgraded(folder: Path, write: Write) -> None:
    """It has the old column of usernames and the new table."""
    path = write(folder, "pyrogram-2.0.106", session())
    new = [(1, 9, "user", ["new"], None), (777000, 6, "user", ["moved"], None)]
    write(folder, "kurigram-2.2.26", session(peers=new))
    found = read(path)
    assert found.library == "Kurigram"
    assert without_date(found.entities()) == set(map(expected, [*PEERS[1:2], *PEERS[3:], *new]))


@pytest.mark.parametrize("writer", [writer for writer in WRITERS if "pyrogram" not in writer])
def test_each_of_several_usernames_finds_its_owner(writer: str, folder: Path, write: Write) -> None:
    path = write(folder, writer, session())
    converted = convert(path, folder / "bob.session")
    assert not any("usernames" in note for note in converted.notes)
    with closing(RustSQLiteSession(folder / "bob")) as bob:
        for id, access_hash, _, usernames, _ in PEERS:
            for username in usernames:
                assert utils.get_peer_id(bob.get_input_entity(f"@{username}")) == id
            known = bob.find_entity(PeerUser(id) if id > 0 else id)
            assert known is not None and known.access_hash == access_hash
            assert known.username == (usernames[0].lower() if usernames else None)


@pytest.mark.parametrize("writer", STATES)
def test_update_states(writer: str, folder: Path, write: Write) -> None:
    states = [(0, 100, 5, 1_700_000_000, 7), (ZERO - 55, 8, None, None, None), (ZERO - 66, None, 9, None, None)]
    found = read(write(folder, writer, session(states=states)))
    assert list(found.update_states()) == [(0, 100, 5, 1_700_000_000, 7), (55, 8, 0, 1_700_000_000, 0)]


def test_peers_without_a_usable_access_hash_are_counted(folder: Path, write: Write) -> None:
    unusable: list[Peer] = [
        (5, None, "user", ["none"], None),
        (6, 0, "bot", [], None),
        (ZERO - 5, 0, "channel", [], None),
    ]
    found = read(write(folder, "kurigram-2.2.26", session(peers=[*PEERS, *unusable])))
    assert without_date(found.entities()) == set(map(expected, PEERS))
    assert [note.rpartition(" ")[2] for note in found.notes] == ["3"]


@pytest.mark.parametrize(
    ("login", "address"),
    [
        ({"dc_id": 2, "test_mode": True}, ("149.154.167.40", 443)),
        ({"dc_id": 203}, ("91.105.192.100", 443)),
        ({"dc_id": 6}, None),
        ({"dc_id": 4, "test_mode": True}, None),
    ],
)
def test_data_centres(login: dict[str, Any], address: tuple[str, int] | None, folder: Path, write: Write) -> None:
    path = write(folder, "pyrogram-2.0.106", session(login=login))
    if address is None:
        with pytest.raises(ConversionError, match=rf"data centre {login['dc_id']} is not one of Telegram's"):
            read(path)
    else:
        found = read(path)
        assert (found.server_address, found.port, found.is_test) == (*address, "test_mode" in login)


@pytest.mark.parametrize("login", [{"auth_key": ""}, {"auth_key": "00" * 256}, {"auth_key": "01" * 255}])
def test_no_login(login: dict[str, Any], folder: Path, write: Write) -> None:
    with pytest.raises(ConversionError, match=r"not logged in|auth key is not valid"):
        read(write(folder, "kurigram-2.2.26", session(login=login)))


@pytest.mark.parametrize("use_wal", [False, True])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_session_in_use(use_wal: bool, is_killed: bool, folder: Path, write: Write) -> None:
    """What the program has saved is read while it runs, and after it was killed, also from its WAL."""
    content = session(options={"use_wal": use_wal}, keep_open=True, peers=MANY)
    with closing(Library("kurigram-2.2.26", PROGRAM)) as program:
        program.call(content | {"folder": str(folder), "name": "anna"})
        assert (folder / "anna.session-wal").exists() == use_wal
        if is_killed:
            program.kill()
            (folder / "anna.session-shm").unlink(missing_ok=True)
        names = {path.name for path in folder.iterdir()}
        found = read_file(folder / "anna.session", passcode=None, account=1)
        assert found and found.auth_key == KEY
        assert without_date(found.entities()) == set(map(expected, MANY))
        assert {path.name for path in folder.iterdir()} == names


def test_more_peers_than_a_batch(folder: Path, write: Write) -> None:
    found = read(write(folder, "kurigram-2.2.26", session(peers=MANY)))
    assert without_date(found.entities()) == set(map(expected, MANY))


def test_an_interrupted_write(folder: Path, write: Write) -> None:
    """What it changed is undone in a copy."""
    path = write(folder, "kurigram-2.2.26", session(peers=MANY))
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma cache_size = 10")
        file.execute("update peers set access_hash = 1")
        interrupted = folder / "interrupted"
        interrupted.mkdir()
        for name in (path.name, f"{path.name}-journal"):
            shutil.copyfile(folder / name, interrupted / name)
    assert without_date(read(interrupted / path.name).entities()) == set(map(expected, MANY))


def test_a_locked_file(folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, "kurigram-2.2.26", session())
    monkeypatch.setattr(database, "_BUSY_TIMEOUT", 0)
    with closing(sqlite3.connect(path)) as file:
        file.execute("begin exclusive")
        with pytest.raises(ConversionError, match=r"it is locked by another program: try again"):
            read(path)


IDS = st.integers(1, 2**40 - 1) | st.integers(-999_999_999_999, -1) | st.integers(ZERO - 997_852_516_352, ZERO - 1)
KINDS = {"user": ["user", "bot"], "chat": ["group"], "channel": ["channel", "supergroup"]}


@st.composite
def peers(draw: st.DrawFn) -> list[Peer]:
    found = {}
    for id in draw(st.lists(IDS, max_size=8)):
        kind = "user" if id > 0 else "chat" if id > ZERO else "channel"
        access_hash = draw(st.none() | st.integers(-(2**63), 2**63 - 1)) if kind != "chat" else 0
        names = (
            [] if kind == "chat" else draw(st.lists(st.from_regex(r"[a-z][a-z0-9_]{3,31}", fullmatch=True), max_size=2))
        )
        phone = draw(st.none() | st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)) if kind == "user" else None
        found[id] = (id, access_hash, draw(st.sampled_from(KINDS[kind])), names, phone)
    return list(found.values())


@pytest.mark.slow
@given(
    st.sampled_from(["pyrogram-2.0.106", "kurigram-2.1.35", "kurigram-2.2.26"]),
    peers(),
    st.integers(1, 5),
    st.booleans(),
)
def test_any_session(write: Write, writer: str, people: list[Peer], dc_id: int, is_bot: bool) -> None:
    with fast_folder() as folder:
        login = {"dc_id": dc_id, "is_bot": is_bot}
        found = read(write(folder, writer, session(login=login, peers=people)))
        assert (found.dc_id, found.is_bot, found.auth_key) == (dc_id, is_bot, KEY)
        assert without_date(found.entities()) == {expected(peer) for peer in people if peer[1] or peer[2] == "group"}
        assert all(isinstance(entity, Entity) for entity in found.entities())
    tally("session files of other libraries")

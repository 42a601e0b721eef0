"""Sessions that the crate grammers-session writes."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.counters import tally
from support.file_client import fast_folder
from support.libraries import write_grammers_session
from telethon_session_rust.foreign.files import read_file
from telethon_session_rust.foreign.session import ConversionError, ForeignSession

pytestmark = pytest.mark.any_release

KEYS = {dc_id: random.Random(dc_id).randbytes(256) for dc_id in (1, 2, 4, 5)}


def option(dc_id: int, endpoint: str = "149.154.167.92:443", key: bytes | None = None) -> dict[str, Any]:
    return {"id": dc_id, "ipv4": endpoint, "ipv6": "[2001:db8::1]:443", "auth_key": key.hex() if key else None}


def user(id: int, auth: int | None, *, bot: bool = False, is_self: bool = False) -> dict[str, Any]:
    return {"User": {"id": id, "auth": auth, "bot": bot, "is_self": is_self}}


def channel(id: int, auth: int | None, kind: str | None) -> dict[str, Any]:
    return {"Channel": {"id": id, "auth": auth, "kind": kind}}


OPTIONS = [option(dc_id, key=key) for dc_id, key in KEYS.items()]
PEERS = [
    user(777000, 5),
    user(2**40 - 1, -(2**63), bot=True, is_self=True),
    {"Chat": {"id": 4321}},
    channel(1, 7, "Megagroup"),
    channel(997_852_516_352, -8, "Broadcast"),
    channel(55, 9, "Community"),
    channel(56, 10, None),
]
ENTITIES = {
    (777000, "user", 5),
    (2**40 - 1, "user", -(2**63)),
    (4321, "chat", 0),
    (1, "channel", 7),
    (997_852_516_352, "channel", -8),
    (55, "channel", 9),
    (56, "channel", 10),
}


def written(folder: Path, **changes: Any) -> Path:
    content = {"home_dc": 4, "dc_options": OPTIONS, "peers": PEERS, "updates_state": None}
    write_grammers_session(folder / "anna.session", content | changes)
    return folder / "anna.session"


def read(path: Path) -> ForeignSession:
    before = {path.name: path.read_bytes() for path in path.parent.iterdir()}
    found = read_file(path, passcode=None, account=1)
    assert found is not None
    list(found.entities()), list(found.update_states())
    assert {path.name: path.read_bytes() for path in path.parent.iterdir()} == before
    return found


def test_the_home_data_centre_is_the_login(folder: Path) -> None:
    found = read(written(folder))
    assert (found.library, found.dc_id, found.auth_key) == ("grammers", 4, KEYS[4])
    assert (found.server_address, found.port, found.is_test) == ("149.154.167.92", 443, False)
    assert (found.user_id, found.is_bot, found.api_id) == (2**40 - 1, True, None)
    assert {entity[:3] for entity in found.entities()} == ENTITIES
    assert list(found.update_states()) == []


def test_update_states(folder: Path) -> None:
    channels = [{"id": 55, "pts": 8}, {"id": 1, "pts": 9}]
    state = {"pts": 100, "qts": 5, "date": 1_700_000_000, "seq": 7, "channels": channels}
    found = read(written(folder, updates_state=state))
    assert list(found.update_states()) == [
        (0, 100, 5, 1_700_000_000, 7),
        (1, 9, 0, 1_700_000_000, 0),
        (55, 8, 0, 1_700_000_000, 0),
    ]


def test_a_session_without_a_home_is_in_the_default_one(folder: Path) -> None:
    assert read(written(folder, home_dc=None)).auth_key == KEYS[2]


def test_peers_without_an_access_hash_are_counted(folder: Path) -> None:
    found = read(written(folder, peers=[*PEERS, user(5, None), user(6, 0), channel(5, None, "Broadcast")]))
    assert {entity[:3] for entity in found.entities()} == ENTITIES
    assert found.notes[-1].rpartition(" ")[2] == "3"


def test_a_test_server(folder: Path) -> None:
    found = read(written(folder, home_dc=2, dc_options=[option(2, "149.154.167.40:443", KEYS[2])]))
    assert (found.dc_id, found.server_address, found.is_test) == (2, "149.154.167.40", True)


def test_an_address_that_is_not_valid_is_filled_in(folder: Path) -> None:
    path = written(folder)
    for endpoint in (
        "",
        "149.154.167.92",
        "149.154.167.92:0",
        "example.com:443",
        "149.154.167.92:99999",
        None,
        7,
        b"\xff",
    ):
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("update dc_option set ipv4 = coalesce(?, ipv4 || 'x')", [endpoint])
        assert (read(path).server_address, read(path).port) == ("149.154.167.91", 443)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("update dc_home set dc_id = 6")
        file.execute("update dc_option set dc_id = 6 where dc_id = 4")
    with pytest.raises(ConversionError, match="data centre 6 is not one of Telegram's"):
        read(path)


@pytest.mark.parametrize("options", [[], [option(4)], [option(5, key=KEYS[5])], [option(4, key=bytes(256))]])
def test_no_login(options: list[Any], folder: Path) -> None:
    with pytest.raises(ConversionError, match=r"not logged in|auth key is not valid"):
        read(written(folder, dc_options=options))


HASHES = st.none() | st.integers(-(2**63), 2**63 - 1)
ANY_PEERS = st.lists(
    st.builds(user, st.integers(1, 2**40 - 1), HASHES, bot=st.booleans())
    | st.builds(lambda id: {"Chat": {"id": id}}, st.integers(1, 999_999_999_999))
    | st.builds(channel, st.integers(1, 997_852_516_352), HASHES, st.sampled_from([None, "Megagroup", "Gigagroup"])),
    max_size=8,
    unique_by=str,
)


def expected(peer: dict[str, Any]) -> tuple[int, str, int | None]:
    ((kind, content),) = peer.items()
    return content["id"], kind.lower(), 0 if kind == "Chat" else content["auth"]


@pytest.mark.slow
@given(ANY_PEERS, st.sampled_from(sorted(KEYS)))
@settings(max_examples=50)
def test_any_session(peers: list[Any], home_dc: int) -> None:
    peers = list({expected(peer)[:2]: peer for peer in peers}.values())
    with fast_folder() as folder:
        found = read(written(folder, peers=peers, home_dc=home_dc))
        assert (found.dc_id, found.auth_key) == (home_dc, KEYS[home_dc])
        entities = map(expected, peers)
        assert {entity[:3] for entity in found.entities()} == {row for row in entities if row[1] == "chat" or row[2]}
    tally("session files of other libraries")

"""The pages "Coming from ..." are correct: their steps convert what the real libraries have
written, and the libraries read what comes back.
"""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import SQLiteSession, StringSession
from telethon.tl.types import InputPeerUser

from support.documents import NAMES, ROOT, run_line, run_page
from support.libraries import Library, write_grammers_session
from support.library_strings import Login, gram_js_stores, npm_reads, npm_writes, pyrogram_reads, pyrogram_writes
from telethon_session_rust.foreign.strings import FORMATS

pytestmark = pytest.mark.any_release

LOGIN = Login(4, "149.154.167.91", 443, random.Random(17).randbytes(256), False, 777000, False, NAMES["api_id"])


def written(name: str, string: str) -> None:
    Path(f"{name}.txt").write_text(f"{string}\n")


def contents(name: str) -> str:
    return Path(f"{name}.txt").read_text().strip()


def run(name: str) -> None:
    run_page(ROOT / "docs" / f"coming-from-{name}.md", run_line)


def assert_have_the_login(*names: str) -> None:
    sessions: list[Any] = [SQLiteSession(name) for name in names]
    for session in (*sessions, StringSession(contents("telethon"))):
        assert (session.dc_id, session.server_address, session.port) == (4, LOGIN.address, 443)
        assert session.auth_key.key == LOGIN.key
    for session in sessions:
        session.close()


@pytest.mark.parametrize("library", ["pyrogram-2.0.106", "kurigram-2.2.26"])
def test_pyrogram(library: str) -> None:
    login = {"dc_id": 4, "api_id": LOGIN.api_id, "test_mode": False, "auth_key": LOGIN.key.hex(), "user_id": 777000}
    content = {
        "login": {**login, "is_bot": False, "server_address": LOGIN.address, "port": 443},
        "peers": [(777, 888, "user", ["annika"], "79990000777")],
        "states": [],
        "options": {},
        "keep_open": False,
    }
    with closing(Library(library, "write_pyrogram.py")) as program:
        program.call(content | {"folder": ".", "name": "my_account"})
    written("pyrogram", string := pyrogram_writes(library, LOGIN))
    run("pyrogram")
    assert_have_the_login("from_pyrogram", "from_string", "from_python", "from_python_string")
    for name in ("from_pyrogram", "from_python"):
        session = SQLiteSession(name)
        for key in ("annika", "+79990000777", 777):
            assert session.get_input_entity(key) == InputPeerUser(777, 888)
        session.close()
    assert contents("back") == string
    assert pyrogram_reads(library, contents("back")).key == LOGIN.key


def test_gram_js() -> None:
    written("gramjs", string := npm_writes("gramjs", LOGIN))
    people = [("User", "777", "888", "Annika", "Annika", "79990000777")]
    gram_js_stores(Path.cwd(), LOGIN, people).rename("my_session")
    run("gramjs")
    assert_have_the_login("from_gramjs", "from_folder", "from_python", "from_python_folder")
    assert SQLiteSession("from_folder").get_input_entity("annika") == InputPeerUser(777, 888)
    assert contents("back") == string


def test_mtcute_and_mtkruto() -> None:
    written("mtcute", string := npm_writes("mtcute", LOGIN, version=3))
    written("mtkruto", FORMATS["mtkruto"].write(LOGIN.foreign()))
    run("mtcute")
    assert_have_the_login("from_mtcute", "from_mtkruto", "from_python_mtcute", "from_python_mtkruto")
    assert contents("mtcute_again") == string
    assert npm_reads("mtcute", string) == LOGIN.without("api_id")
    assert contents("mtkruto_again") == contents("mtkruto")
    assert npm_reads("convert", contents("mtkruto"), **{"from": "mtkruto"}).key == LOGIN.key


def test_telegram_desktop() -> None:
    key, second = LOGIN.key, random.Random(18).randbytes(256)
    accounts = [
        {"index": index, "user_id": user_id, "dc_id": 4, "keys": [[2, second.hex()], [4, key.hex()]], "is_test": False}
        for index, (user_id, key) in enumerate([(777000, key), (777001, second)])
    ]
    with closing(Library("opentele-1.15.1", "write_tdata.py")) as program:
        for folder, passcode in ("tdata", ""), ("tdata_with_passcode", "пароль"):
            program.call({"folder": folder, "accounts": accounts, "passcode": passcode, "is_old": False})
    written("passcode", "пароль")
    run("telegram-desktop")
    for name, (user_id, expected) in {
        "from_desktop": (777000, key),
        "with_passcode": (777000, key),
        "second": (777001, second),
        "from_python": (777001, second),
        "from_python_with_passcode": (777000, key),
    }.items():
        session = SQLiteSession(name)
        assert (session.dc_id, session.server_address, session.auth_key.key) == (4, LOGIN.address, expected)
        assert session.get_entity_rows_by_id(0)[1] == user_id
        session.close()


def test_grammers() -> None:
    keys = {2: random.Random(18).randbytes(256), 4: LOGIN.key}
    options = [
        {"id": dc_id, "ipv4": f"{LOGIN.address}:443", "ipv6": "[::1]:443", "auth_key": key.hex()}
        for dc_id, key in keys.items()
    ]
    peers = [
        {"User": {"id": 777000, "auth": 1, "bot": False, "is_self": True}},
        {"User": {"id": 777, "auth": 888, "bot": False, "is_self": False}},
    ]
    state = {"pts": 5, "qts": 6, "date": 1_700_000_000, "seq": 7, "channels": []}
    content = {"home_dc": 4, "dc_options": options, "peers": peers, "updates_state": state}
    write_grammers_session(Path("grammers.session"), content)
    run("grammers")
    for name in ("from_grammers", "from_python"):
        session = SQLiteSession(name)
        assert (session.dc_id, session.server_address, session.auth_key.key) == (4, LOGIN.address, LOGIN.key)
        assert session.get_input_entity(777) == InputPeerUser(777, 888)
        assert session.get_entity_rows_by_id(0)[1] == 777000
        assert [(id, state.pts, state.qts, state.seq) for id, state in session.get_update_states()] == [(0, 5, 6, 7)]
        session.close()

"""The real libraries that write and read session strings, each in a process of its own."""

from __future__ import annotations

import atexit
import itertools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from support import libraries
from telethon_session_rust.foreign.session import ForeignSession

FOLDER = Path(__file__).parents[1] / "convert"
_NUMBERS = itertools.count()
PYROGRAMS = ["pyrogram-0.16.0", "pyrogram-1.0.7", "pyrogram-1.4.16", "pyrogram-2.0.106", "kurigram-2.2.26"]


@dataclass
class Login:
    """A login as the tests give it to a library, and as it reads it."""

    dc_id: int
    address: str
    port: int
    key: bytes
    is_test: bool = False
    user_id: int | None = None
    is_bot: bool | None = None
    api_id: int | None = None

    def foreign(self) -> ForeignSession:
        return ForeignSession(
            "Telethon",
            self.dc_id,
            self.key,
            self.address,
            self.port,
            is_test=self.is_test,
            user_id=self.user_id,
            is_bot=self.is_bot,
            api_id=self.api_id,
        )

    def without(self, *names: str) -> Login:
        return replace(self, **dict.fromkeys(names))


def login_of(session: ForeignSession) -> Login:
    return Login(
        session.dc_id,
        session.server_address,
        session.port,
        session.auth_key,
        session.is_test,
        session.user_id,
        session.is_bot,
        session.api_id,
    )


class Refused(Exception):
    """A library does not write or read something."""


class _Node(libraries.Library):
    """A process of Node.js with the libraries of npm."""

    def __init__(self) -> None:
        folder = libraries.folder("npm")
        # Node.js finds packages in the folder of a program, or in the current one if it is not a
        # file.
        program = (FOLDER / "node" / "strings.mjs").read_text("utf-8")
        command = ["node", "--input-type=module", "--eval", program]
        pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        self._process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, text=True, **pipes)


@cache
def _pyrogram(name: str) -> libraries.Library:
    return _closed_at_exit(libraries.Library(name, "pyrogram_strings.py"))


@cache
def _node() -> libraries.Library:
    return _closed_at_exit(_Node())


def _closed_at_exit(library: libraries.Library) -> libraries.Library:
    atexit.register(library.close)
    return library


def _ask(library: libraries.Library, request: Any) -> Any:
    answer = library.call(request)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["value"]


def pyrogram_writes(library: str, login: Login) -> str:
    values = {"dc_id": login.dc_id, "api_id": login.api_id, "test_mode": login.is_test, "auth_key": login.key.hex()}
    request = ["write", {**values, "user_id": login.user_id, "is_bot": login.is_bot}]
    return str(_ask(_pyrogram(library), request))


def pyrogram_reads(library: str, string: str) -> Login:
    """Returns what Pyrogram reads. It has no address of its own."""
    found = _ask(_pyrogram(library), ["read", string])
    key = bytes.fromhex(found["auth_key"])
    values = (bool(found["test_mode"]), found["user_id"], bool(found["is_bot"]), found.get("api_id"))
    return Login(found["dc_id"], "", 0, key, *values)


def npm_writes(command: str, login: Login, **more: Any) -> str:
    return str(_ask(_node(), {"command": f"{command}.write", **_values(login), **more}))


def gram_js_stores(folder: Path, login: Login, people: Sequence[tuple[Any, ...]] = ()) -> Path:
    """Writes a `StoreSession`, and returns its folder. People are kind, ID, access hash, name,
    username and phone.
    """
    # A process takes sessions with one name for the same.
    name = f"store_{next(_NUMBERS)}"
    request = {"command": "gramjs.store", **_values(login), "folder": str(folder), "name": name, "people": people}
    _ask(_node(), request)
    return folder / name


def npm_converts(to: str, login: Login) -> str:
    """Returns the string that @mtcute/convert makes of one of mtcute."""
    values = {**_values(login), "version": 3}
    return str(_ask(_node(), {"command": "convert.write", "to": to, "login": values, "apiId": login.api_id}))


def npm_reads(command: str, string: str, **more: Any) -> Login:
    found = _ask(_node(), {"command": f"{command}.read", "string": string, **more})
    values = (bool(found.get("test")), found.get("user"), found.get("bot"))
    return Login(found["id"], found["address"], found["port"], bytes.fromhex(found["key"]), *values)


def _values(login: Login) -> dict[str, Any]:
    values = {"id": login.dc_id, "address": login.address, "port": login.port, "key": login.key.hex()}
    return {**values, "test": login.is_test, "user": login.user_id, "bot": login.is_bot}

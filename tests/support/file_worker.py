"""The process in which sessions live with the files that it is told of; `lives.py` is the other end.

Who is stuck here says where and ends the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.file_client import Life
from telethon_session_rust import RustSQLiteSession

STUCK = 60
# What a life may take, in bytes, over what the process has at its beginning.
MEMORY = 2**31
KEY = AuthKey(bytes(7 * n % 256 for n in range(256)))
# One of them has another name now.
CROWD = [*entities.crowd(30), entities.user(4, 9, username="renamed")]
DIGEST = b"1" * 16
STATE = types.updates.State(1, 2, entities.DATE, 3, 0)
# By id, marked id, username, phone and name, and nobody.
KEYS: list[Any] = [1, -1, "user1", "+7 999 0000001", "Anna", "nobody"]


class Living:
    """A life as it goes on."""

    def __init__(
        self,
        name: str,
        keys: list[Any] = KEYS,
        is_regular: bool = True,
        file_limit: int | None = None,
        reading: float = 0.1,
    ) -> None:
        """Opens it, with Telethon first a copy if it is a regular file. No file may grow over `file_limit` bytes. The
        background is given `reading` seconds, if it needs them; it begins 50 ms after a file is opened.
        """
        self.life = Life(name)
        self.path = Path(f"{name}.session")
        self.keys = keys
        self.reading = reading
        before = look(self.path)
        if is_regular:
            with self.step("copy"):
                self.life.theirs = login_of_a_copy(self.path)
        self.session: Any = None
        with self.step("open"), files_up_to(file_limit):
            self.session = RustSQLiteSession(name)
        if self.session is None:
            self.life.refused = self.life.errors[-1][2]
            self.life.changed = [what for what, after in look(self.path).items() if after != before[what]]
            return
        self.begun = time.monotonic()
        self.life.ours = login_of(self.session)
        self.look_up()

    def go_on(self) -> None:
        """To the end."""
        if self.session is None:
            return
        end = self.begun + self.reading
        while not self.session._is_loaded() and time.monotonic() < end:
            time.sleep(0.01)
        self.look_up()
        for what, call in {
            "take": lambda: self.session.process_entities(CROWD),
            "take again": lambda: self.session.process_entities([*CROWD, types.InputPeerUser(1, 5)]),
            "state": lambda: self.session.set_update_state(0, STATE),
            "file": lambda: self.session.cache_file(DIGEST, 1, types.InputDocument(1, 2, b"")),
            "key": lambda: setattr(self.session, "auth_key", KEY),
            "save": lambda: self.session.save(),
            "close": lambda: self.session.close(),
            "end": lambda: setattr(self, "session", None),
        }.items():
            with self.step(what):
                call()

    def look_up(self) -> None:
        for what, call in {
            "state": lambda: self.session.get_update_state(0),
            "states": lambda: list(self.session.get_update_states()),
            "file": lambda: knows_file(self.session),
        }.items():
            with self.step(f"look for {what}"):
                call()
        self.life.found.append([])
        for key in self.keys:
            with self.step(f"look for {key}"):
                self.life.found[-1].append(found(self.session, key))

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        print(json.dumps(f"{self.path}: {what}"), flush=True)
        try:
            yield
        except BaseException as error:
            self.note(what, error)

    def note(self, what: str, error: BaseException) -> None:
        self.life.errors.append((what, type(error).__name__, str(error)))
        is_right = isinstance(error, (sqlite3.DatabaseError, ValueError, OSError))
        if not is_right or isinstance(error, UnicodeError):
            self.life.wrong.append(str(self.life.errors[-1]))


def look(path: Path) -> dict[str, Any]:
    """All that can be seen of a file and of what is beside it."""
    about = path.lstat()
    can_be_read = path.is_file() and os.access(path, os.R_OK)
    return {
        "content": digest_of(path.read_bytes()) if can_be_read else None,
        "mode": about.st_mode,
        "time": about.st_mtime_ns,
        "beside": sorted(other.name for other in Path().iterdir() if other.name.startswith(path.name)),
    }


def login_of(session: Any) -> list[Any]:
    key = digest_of(session.auth_key.key) if session.auth_key else None
    return [key, session.dc_id or 0, session.server_address, session.port]


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def login_of_a_copy(path: Path) -> list[Any] | None:
    copy = Path(f"copy_of_{path}")
    shutil.copyfile(path, copy)
    try:
        return login_of(SQLiteSession(str(copy)))
    except Exception:
        return None
    finally:
        for file in Path().glob(f"{copy}*"):
            file.unlink()


def found(session: Any, key: Any) -> Any:
    try:
        return session.get_input_entity(key).to_dict()
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        return None


def knows_file(session: Any) -> bool:
    try:
        return session.get_file(DIGEST, 1, types.InputDocument) is not None
    except TypeError as error:
        # As in Telethon, what is found makes no `InputDocument`.
        if "file_reference" not in str(error):
            raise
        return True


@contextlib.contextmanager
def files_up_to(size: int | None) -> Iterator[None]:
    if size is None:
        yield
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def limit_memory() -> None:
    pages = Path("/proc/self/statm")
    if pages.exists():
        import resource

        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))


def become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main() -> None:
    limit_memory()
    if len(sys.argv) > 1:
        become(int(sys.argv[1]))
    for line in sys.stdin:
        living = []
        for job in json.loads(line):
            faulthandler.dump_traceback_later(STUCK, exit=True)
            living.append(Living(**job))
        for one in living:
            faulthandler.dump_traceback_later(STUCK, exit=True)
            one.go_on()
        faulthandler.cancel_dump_traceback_later()
        # What was read may be anything, but not of JSON's.
        print(json.dumps([vars(one.life) for one in living], default=repr), flush=True)


if __name__ == "__main__":
    main()

"""The process that runs sessions on files; `file_client.py` starts it and sends it jobs.

If a job hangs, the process prints a traceback and exits.
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
from support.file_client import Report
from telethon_session_rust import RustSQLiteSession

TIMEOUT = 60
# How much memory jobs may use, in bytes, in addition to what the process uses at its start.
MEMORY = 2**31
KEY = AuthKey(bytes(7 * n % 256 for n in range(256)))
# The last one renames the fourth.
CROWD = [*entities.crowd(30), entities.user(4, 9, username="renamed")]
DIGEST = b"1" * 16
STATE = types.updates.State(1, 2, entities.DATE, 3, 0)
# An ID, a marked ID, a username, a phone number, a name and an unknown key.
KEYS: list[Any] = [1, -1, "user1", "+7 999 0000001", "Anna", "unknown"]


class Job:
    """A session that uses one file."""

    def __init__(
        self,
        name: str,
        keys: list[Any] = KEYS,
        is_regular: bool = True,
        file_limit: int | None = None,
        load_seconds: float = 0.1,
    ) -> None:
        """Opens the file, after Telethon has opened a copy if the file is regular.

        No file may grow beyond `file_limit` bytes. The job waits up to `load_seconds` for the
        session to load the file, which begins 50 ms after it was opened.
        """
        self.report = Report(name)
        self.path = Path(f"{name}.session")
        self.keys = keys
        self.load_seconds = load_seconds
        before = snapshot(self.path)
        if is_regular:
            with self.step("copy"):
                self.report.theirs = credentials_by_telethon(self.path)
        self.session: Any = None
        with self.step("open"), limit_file_size(file_limit):
            self.session = RustSQLiteSession(name)
        if self.session is None:
            self.report.refused = self.report.errors[-1][2]
            self.report.changed = [what for what, after in snapshot(self.path).items() if after != before[what]]
            return
        self.opened_at = time.monotonic()
        self.report.ours = credentials_of(self.session)
        self.look_up()

    def finish(self) -> None:
        """Runs the job's other steps."""
        if self.session is None:
            return
        end = self.opened_at + self.load_seconds
        while not self.session._is_loaded() and time.monotonic() < end:
            time.sleep(0.01)
        self.look_up()
        for what, call in {
            "add": lambda: self.session.process_entities(CROWD),
            "add again": lambda: self.session.process_entities([*CROWD, types.InputPeerUser(1, 5)]),
            "state": lambda: self.session.set_update_state(0, STATE),
            "file": lambda: self.session.cache_file(DIGEST, 1, types.InputDocument(1, 2, b"")),
            "key": lambda: setattr(self.session, "auth_key", KEY),
            "save": lambda: self.session.save(),
            "close": lambda: self.session.close(),
            "drop": lambda: setattr(self, "session", None),
        }.items():
            with self.step(what):
                call()

    def look_up(self) -> None:
        for what, call in {
            "state": lambda: self.session.get_update_state(0),
            "states": lambda: list(self.session.get_update_states()),
            "file": lambda: has_file(self.session),
        }.items():
            with self.step(f"look for {what}"):
                call()
        self.report.found.append([])
        for key in self.keys:
            with self.step(f"look for {key}"):
                self.report.found[-1].append(found(self.session, key))

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        print(json.dumps(f"{self.path}: {what}"), flush=True)
        try:
            yield
        except BaseException as error:
            self.record(what, error)

    def record(self, what: str, error: BaseException) -> None:
        self.report.errors.append((what, type(error).__name__, str(error)))
        is_expected = isinstance(error, (sqlite3.DatabaseError, ValueError, OSError))
        if not is_expected or isinstance(error, UnicodeError):
            self.report.unexpected.append(str(self.report.errors[-1]))


def snapshot(path: Path) -> dict[str, Any]:
    """Returns what can be seen of a file and of the files beside it."""
    status = path.lstat()
    can_be_read = path.is_file() and os.access(path, os.R_OK)
    return {
        "content": digest_of(path.read_bytes()) if can_be_read else None,
        "mode": status.st_mode,
        "time": status.st_mtime_ns,
        "beside": sorted(other.name for other in Path().iterdir() if other.name.startswith(path.name)),
    }


def credentials_of(session: Any) -> list[Any]:
    key = digest_of(session.auth_key.key) if session.auth_key else None
    return [key, session.dc_id or 0, session.server_address, session.port]


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def credentials_by_telethon(path: Path) -> list[Any] | None:
    copy = Path(f"copy_of_{path}")
    shutil.copyfile(path, copy)
    try:
        return credentials_of(SQLiteSession(str(copy)))
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


def has_file(session: Any) -> bool:
    try:
        return session.get_file(DIGEST, 1, types.InputDocument) is not None
    except TypeError as error:
        # As in Telethon, a file that is found fails to become an `InputDocument`.
        if "file_reference" not in str(error):
            raise
        return True


@contextlib.contextmanager
def limit_file_size(size: int | None) -> Iterator[None]:
    if size is None:
        yield
        return
    import resource

    _, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard_limit))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard_limit, hard_limit))


def limit_memory() -> None:
    pages = Path("/proc/self/statm")
    if pages.exists():
        import resource

        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))


def switch_user(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main() -> None:
    limit_memory()
    if len(sys.argv) > 1:
        switch_user(int(sys.argv[1]))
    for line in sys.stdin:
        jobs = []
        for options in json.loads(line):
            faulthandler.dump_traceback_later(TIMEOUT, exit=True)
            jobs.append(Job(**options))
        for job in jobs:
            faulthandler.dump_traceback_later(TIMEOUT, exit=True)
            job.finish()
        faulthandler.cancel_dump_traceback_later()
        # A value that was read may have a type that JSON does not have.
        print(json.dumps([vars(job.report) for job in jobs], default=repr), flush=True)


if __name__ == "__main__":
    main()

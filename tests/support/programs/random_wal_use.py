"""Uses a file by our sessions, Telethon's and `sqlite3`, while it is switched to WAL mode and back.

Prints the expected content of the file, and exits by SIGKILL. `python -m
support.programs.random_wal_use SEED`
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any

from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession
from telethon.tl import types

from support import entities
from support.files import try_to_switch
from support.programs import command
from telethon_session_rust import RustSQLiteSession

STEPS = 60
# How long Telethon's session and `sqlite3` wait for a lock. The test does not depend on it.
TIMEOUT = 600


class PatientSession(SQLiteSession):
    """Telethon's session with a longer timeout for locks."""

    def _cursor(self) -> Any:
        if self._conn is None:
            self._conn = sqlite3.connect(self.filename, check_same_thread=False, timeout=TIMEOUT)
        return self._conn.cursor()


class Run:
    """A sequence of random operations, and the expected content of the file."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.sessions = [RustSQLiteSession("anna")]
        self.connections: list[Any] = []
        self.key = b""
        self.hashes: dict[int, int] = {}
        self.states: dict[int, int] = {}
        self.modes: list[str] = []
        pipe = subprocess.PIPE
        self.switcher = subprocess.Popen(command("switch_journal_mode"), stdin=pipe, stdout=pipe, text=True)

    def random_session(self) -> Any:
        return self.random.choice(self.sessions)

    def save_a_key(self) -> None:
        self.key = self.random.randbytes(256)
        session = self.random_session()
        session.auth_key = AuthKey(self.key)
        session.save()

    def save_entities(self, session: Any = None) -> None:
        session = session or self.random_session()
        first = self.random.randrange(1, 500)
        access_hashes = {
            id: self.random.getrandbits(40) for id in range(first, first + self.random.choice((1, 20, 200)))
        }
        session.process_entities([entities.user(id, hash, username=f"user_{id}") for id, hash in access_hashes.items()])
        session.save()
        self.hashes |= access_hashes

    def save_a_state(self) -> None:
        id, pts = self.random.randrange(4), self.random.getrandbits(20)
        session = self.random_session()
        session.set_update_state(id, types.updates.State(pts, 1, entities.DATE, 1, 0))
        session.save()
        self.states[id] = pts

    def open_another(self) -> None:
        self.sessions.append(RustSQLiteSession("anna"))

    def close_one(self) -> None:
        self.random_session().close()

    def write_by_telethon(self) -> None:
        session = PatientSession("anna")
        self.save_entities(session)
        session.close()

    def connection(self) -> sqlite3.Connection:
        return sqlite3.connect("anna.session", timeout=TIMEOUT, isolation_level=None)

    def read_by_python(self) -> None:
        with closing(self.connection()) as file:
            file.execute("select count(*) from entities").fetchone()

    def write_by_python(self) -> None:
        id, pts = 10 + self.random.randrange(4), self.random.getrandbits(20)
        with closing(self.connection()) as file:
            file.execute("insert or replace into update_state values (?, ?, 0, 0, 0)", (id, pts))
        self.states[id] = pts

    def keep_open_by_python(self) -> None:
        self.connections.append(self.connection())
        self.connections[-1].execute("select count(*) from entities").fetchone()

    def close_by_python(self) -> None:
        if self.connections:
            self.connections.pop(self.random.randrange(len(self.connections))).close()

    def switch(self) -> None:
        """Switches the journal mode, in this process or another."""
        mode = self.random.choice(("wal", "delete"))
        if self.random.random() < 0.5:
            self.switch_elsewhere(mode)
            return
        with closing(sqlite3.connect("anna.session", timeout=0.05)) as file:
            try_to_switch(file, mode)

    def switch_elsewhere(self, mode: str) -> None:
        print(mode, file=self.switcher.stdin, flush=True)
        self.modes.append(self.switcher.stdout.readline().strip())

    def close_all_and_switch(self) -> None:
        """Closes the file everywhere, which is needed to leave WAL mode."""
        for session in self.sessions:
            session.close()
        for file in self.connections:
            file.close()
        self.connections.clear()
        self.switch_elsewhere("delete")
        assert self.modes[-1] == "delete"

    def fork(self) -> None:
        """Forks a child that reads the file and exits."""
        pid = os.fork()
        if pid == 0:
            # The child must not use connections of Python's SQLite.
            code = 1
            try:
                session = self.random_session()
                session.get_entity_rows_by_username("unknown")
                session.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0

    def use(self) -> None:
        steps: list[Callable[[], None]] = [
            *[self.save_a_key, self.save_entities, self.save_a_state, self.switch, self.read_by_python] * 3,
            *[self.write_by_telethon, self.write_by_python, self.keep_open_by_python, self.close_by_python] * 2,
            *[self.open_another, self.close_one, self.close_all_and_switch, self.fork],
        ]
        for _ in range(STEPS):
            self.random.choice(steps)()
        self.random.choice((self.save_a_key, self.save_entities, self.write_by_python))()


run = Run(int(sys.argv[1]))
run.use()
run.switcher.communicate()
expected = {"key": run.key.hex(), "hashes": run.hashes, "states": run.states, "modes": run.modes}
print(json.dumps(expected), flush=True)
os.kill(os.getpid(), signal.SIGKILL)

"""Uses a file by sessions of ours, of Telethon's and by `sqlite3`, while it is switched to WAL mode and
back. Prints what must be in the file, and ends by SIGKILL.

`python -m support.programs.life_in_wal_mode SEED`
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
# Telethon's and Python's wait as long for a lock. It is no test of that.
PATIENCE = 600


class Telethons(SQLiteSession):
    """Waits longer for a lock."""

    def _cursor(self) -> Any:
        if self._conn is None:
            self._conn = sqlite3.connect(self.filename, check_same_thread=False, timeout=PATIENCE)
        return self._conn.cursor()


class Life:
    """What is done, and what of it must be found."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ours = [RustSQLiteSession("anna")]
        self.kept: list[Any] = []
        self.key = b""
        self.hashes: dict[int, int] = {}
        self.states: dict[int, int] = {}
        self.modes: list[str] = []
        pipe = subprocess.PIPE
        self.switcher = subprocess.Popen(command("switch_journal_mode"), stdin=pipe, stdout=pipe, text=True)

    def one_of_ours(self) -> Any:
        return self.random.choice(self.ours)

    def save_a_key(self) -> None:
        self.key = self.random.randbytes(256)
        session = self.one_of_ours()
        session.auth_key = AuthKey(self.key)
        session.save()

    def save_entities(self, session: Any = None) -> None:
        session = session or self.one_of_ours()
        first = self.random.randrange(1, 500)
        everybody = {id: self.random.getrandbits(40) for id in range(first, first + self.random.choice((1, 20, 200)))}
        session.process_entities([entities.user(id, hash, username=f"user_{id}") for id, hash in everybody.items()])
        session.save()
        self.hashes |= everybody

    def save_a_state(self) -> None:
        id, pts = self.random.randrange(4), self.random.getrandbits(20)
        session = self.one_of_ours()
        session.set_update_state(id, types.updates.State(pts, 1, entities.DATE, 1, 0))
        session.save()
        self.states[id] = pts

    def open_another(self) -> None:
        self.ours.append(RustSQLiteSession("anna"))

    def close_one(self) -> None:
        self.one_of_ours().close()

    def write_by_telethon(self) -> None:
        session = Telethons("anna")
        self.save_entities(session)
        session.close()

    def connection(self) -> sqlite3.Connection:
        return sqlite3.connect("anna.session", timeout=PATIENCE, isolation_level=None)

    def look_by_python(self) -> None:
        with closing(self.connection()) as file:
            file.execute("select count(*) from entities").fetchone()

    def write_by_python(self) -> None:
        id, pts = 10 + self.random.randrange(4), self.random.getrandbits(20)
        with closing(self.connection()) as file:
            file.execute("insert or replace into update_state values (?, ?, 0, 0, 0)", (id, pts))
        self.states[id] = pts

    def keep_open_by_python(self) -> None:
        self.kept.append(self.connection())
        self.kept[-1].execute("select count(*) from entities").fetchone()

    def close_by_python(self) -> None:
        if self.kept:
            self.kept.pop(self.random.randrange(len(self.kept))).close()

    def switch(self) -> None:
        """In this process or another."""
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
        """Back to the usual mode, which nothing that has the file open lets happen."""
        for session in self.ours:
            session.close()
        for file in self.kept:
            file.close()
        self.kept.clear()
        self.switch_elsewhere("delete")
        assert self.modes[-1] == "delete"

    def fork(self) -> None:
        """A child that looks for itself, and ends."""
        pid = os.fork()
        if pid == 0:
            # What Python's own SQLite has open a child must not touch.
            code = 1
            try:
                session = self.one_of_ours()
                session.get_entity_rows_by_username("nobody")
                session.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0

    def live(self) -> None:
        steps: list[Callable[[], None]] = [
            *[self.save_a_key, self.save_entities, self.save_a_state, self.switch, self.look_by_python] * 3,
            *[self.write_by_telethon, self.write_by_python, self.keep_open_by_python, self.close_by_python] * 2,
            *[self.open_another, self.close_one, self.close_all_and_switch, self.fork],
        ]
        for _ in range(STEPS):
            self.random.choice(steps)()
        self.random.choice((self.save_a_key, self.save_entities, self.write_by_python))()


life = Life(int(sys.argv[1]))
life.live()
life.switcher.communicate()
told = {"key": life.key.hex(), "hashes": life.hashes, "states": life.states, "modes": life.modes}
print(json.dumps(told), flush=True)
os.kill(os.getpid(), signal.SIGKILL)

"""Several processes use one file at once, with our sessions and Telethon's: no errors, and no
entity is lost.

Unlike in `test_shared_files.py`, the processes do not take turns.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from support.counters import tally
from support.files import dump
from support.programs import command, concurrent_process
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

GROUPS = {
    "two of ours and Telethon": ["ours", "ours", "telethon"],
    "two of ours in event loops and Telethon": ["ours in a loop", "ours in a loop", "telethon"],
    "one of ours and two of Telethon": ["ours in a loop", "telethon", "telethon"],
    "eight of ours": ["ours", "ours in a loop"] * 4,
}


class Process:
    """A process of `concurrent_process.py`."""

    def __init__(self, kind: str, number: int, count: int) -> None:
        pipe = subprocess.PIPE
        program = command("concurrent_process", kind, number, count)
        self.process = subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True)

    def read(self) -> Any:
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} failed"
        return json.loads(line)

    def resume(self) -> None:
        print(file=self.process.stdin, flush=True)

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def run_together(kinds: list[str]) -> None:
    """Opens the sessions, uses them, then looks everything up. Each step begins once all processes
    are done.
    """
    processes = [Process(kind, number, len(kinds)) for number, kind in enumerate(kinds)]
    for _ in range(2):
        for process in processes:
            process.read()
        for process in processes:
            process.resume()
    assert [process.read() for process in processes] == [[]] * len(kinds)
    for process in processes:
        process.end()
    tally("files shared by processes")


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("kinds", GROUPS.values(), ids=GROUPS)
def test_processes_share_a_file(kinds: list[str], mode: str) -> None:
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")
    run_together(kinds)
    check(kinds)


def test_eight_processes_create_a_file() -> None:
    kinds = GROUPS["eight of ours"]
    run_together(kinds)
    check(kinds)


def check(kinds: list[str]) -> None:
    rows = dump("anna.session")
    hashes = {row[0]: row[1] for row in rows["entities"]}
    for number in range(len(kinds)):
        assert {user.id: user.access_hash for user in concurrent_process.own_entities(number)}.items() <= hashes.items()
    assert {hashes.pop(user.id) for user in concurrent_process.shared_entities(0)} <= set(range(1, len(kinds) + 1))
    assert len(hashes) == len(kinds) * concurrent_process.ROUNDS * concurrent_process.OWN
    assert sorted(row[:2] for row in rows["update_state"]) == [
        (number, concurrent_process.ROUNDS - 1) for number in range(len(kinds))
    ]
    assert len(rows["sent_files"]) == len(kinds) * concurrent_process.ROUNDS
    (login,) = rows["sessions"]
    assert login[3] in [concurrent_process.key_of(number).key for number in range(len(kinds))]

"""Several processes at one file at once, ours with ours and ours with Telethon's own: no error, and nobody is lost.

They do not take turns, as in `test_neighbours.py`.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from support.counters import tried
from support.files import dump
from support.programs import command
from support.programs import crowd as crowding
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

CROWDS = {
    "two and Telethon": ["ours", "ours", "telethon"],
    "two in loops and Telethon": ["ours in a loop", "ours in a loop", "telethon"],
    "one and two of Telethon": ["ours in a loop", "telethon", "telethon"],
    "eight": ["ours", "ours in a loop"] * 4,
}


class Neighbour:
    """A process of `crowding.py`."""

    def __init__(self, kind: str, number: int, count: int) -> None:
        neighbour = command("crowd", kind, number, count)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(neighbour, stdin=pipe, stdout=pipe, text=True)

    def answer(self) -> Any:
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} failed"
        return json.loads(line)

    def go_on(self) -> None:
        print(file=self.process.stdin, flush=True)

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def crowd(kinds: list[str]) -> None:
    """All open their session, live, look, each of it when all have come so far."""
    neighbours = [Neighbour(kind, number, len(kinds)) for number, kind in enumerate(kinds)]
    for _ in range(2):
        for neighbour in neighbours:
            neighbour.answer()
        for neighbour in neighbours:
            neighbour.go_on()
    assert [neighbour.answer() for neighbour in neighbours] == [[]] * len(kinds)
    for neighbour in neighbours:
        neighbour.end()
    tried("crowded files")


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("kinds", CROWDS.values(), ids=CROWDS)
def test_a_crowd(kinds: list[str], mode: str) -> None:
    RustSQLiteSession("anna").close()
    with closing(sqlite3.connect("anna.session")) as file:
        file.execute(f"pragma journal_mode = {mode}")
    crowd(kinds)
    check(kinds)


def test_a_file_that_eight_make() -> None:
    kinds = CROWDS["eight"]
    crowd(kinds)
    check(kinds)


def check(kinds: list[str]) -> None:
    rows = dump("anna.session")
    hashes = {row[0]: row[1] for row in rows["entities"]}
    for number in range(len(kinds)):
        assert {one.id: one.access_hash for one in crowding.everybody(number)}.items() <= hashes.items()
    assert {hashes.pop(one.id) for one in crowding.shared(0)} <= set(range(1, len(kinds) + 1))
    assert len(hashes) == len(kinds) * crowding.ROUNDS * crowding.OWN
    assert sorted(row[:2] for row in rows["update_state"]) == [
        (number, crowding.ROUNDS - 1) for number in range(len(kinds))
    ]
    assert len(rows["sent_files"]) == len(kinds) * crowding.ROUNDS
    (login,) = rows["sessions"]
    assert login[3] in [crowding.key_of(number).key for number in range(len(kinds))]

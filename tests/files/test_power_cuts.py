"""Whenever the process ends or the power is cut, a session file is what it was before a save or after it: never a mix.

All that a real process does to its files is recorded; what would be left of it at any moment is laid out in a folder
and opened.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from telethon.sessions import SQLiteSession

from support.counters import tried
from support.files import dump
from support.power_cut.disk import Contents, Disk
from support.power_cut.life import MARKS, SAVED
from support.power_cut.recording import Mark, compile_recorder, is_as_planned, record_life
from support.profile import PROFILE
from support.real_files import DATA
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the recorder is Linux's")]

# In each life, in which there are some hundred writes.
POWER_CUTS = {"quick": 300, "long": 8000}.get(PROFILE, 2000)
SESSION = "anna.session"
# Whoever opens what a crash has left syncs it, some thousand times. It need not be on a disk.
IN_MEMORY = Path("/dev/shm")
State = dict[str, Any]


def no_file(path: Path) -> None:
    """The program makes it."""


def old_file(path: Path) -> None:
    """The program upgrades it."""
    shutil.copyfile(DATA / "telethon-0.19.1.6.session", path)


def file_in_wal_mode(path: Path) -> None:
    RustSQLiteSession(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma journal_mode = wal")


def contents_of(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKS}


def lay_out(contents: Contents, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder / SESSION


def summary(state: State) -> dict[str, int]:
    """Of a state that the program has saved: the numbers that it gave to its parts."""
    ((_, _, _, key, *_),) = state["sessions"]
    pts = [pts for id, pts, *_ in state["update_state"] if id == 0]
    hashes = {hash for _, hash, *_ in state["entities"]}
    assert (len(set(key)), len(pts), len(hashes)) == (1, 1, 1)
    return {"key": key[0], "pts": pts[0], "hash": hashes.pop(), "rows": len(state["entities"])}


class Life:
    """What a program did to a session file, and what was in it from save to save."""

    def __init__(self, recorder: Path, folder: Path, copy: Path, make: Callable[[Path], None]) -> None:
        self.copy = copy
        while True:
            make(lay_out({}, folder))
            self.before = contents_of(folder)
            self.events = record_life(recorder, folder / SESSION)
            if is_as_planned(self.events):
                break
        self.states: list[State] = []
        # When each came to be for certain, if no power is cut: its moment and its place in `states`.
        self.saved: list[tuple[int, int]] = []
        disk = Disk(self.before)
        for moment, event in enumerate(self.events):
            if not isinstance(event, Mark):
                disk.do(event)
            elif event.what == SAVED:
                self._add_state(moment, event, dump(lay_out(disk.contents(), self.copy)))
        # The recorder has missed nothing.
        assert disk.contents() == contents_of(folder)

    def _add_state(self, moment: int, mark: Mark, state: State) -> None:
        if mark.is_saved:
            assert summary(state) == mark.is_saved
        self.saved.append((moment, len(self.states)))
        self.states.append(state)

    def check(self, contents: Contents, moment: int, kind: type[Any] | None) -> None:
        """Opens what is left at a moment: what was saved by then, which nothing takes back, or what is being saved."""
        oldest = max(state for at, state in self.saved if at <= moment)
        newest = min((state for at, state in self.saved if at > moment), default=len(self.states) - 1)
        path = lay_out(contents, self.copy)
        if kind is not None:
            session = kind(str(path))
            answers = (session.auth_key.key if session.auth_key else b"", session.get_update_state(0))
            session.close()
            # To open it is to make or upgrade it, which is the first thing that the program did.
            oldest, newest = max(oldest, 1), max(newest, 1)
        state = dump(path)
        is_known = state in self.states[oldest : newest + 1]
        assert is_known, f"at {moment} of {len(self.events)}, opened by {kind}: none of the states {oldest} to {newest}"
        if kind is not None:
            pts = {id: pts for id, pts, *_ in state["update_state"]}
            assert (answers[0], answers[1] and answers[1].pts) == (state["sessions"][0][3], pts.get(0))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no cc to compile the recorder")
    return compile_recorder(compiler, tmp_path_factory.mktemp("recorder"))


@pytest.fixture(scope="module", params=[no_file, old_file, file_in_wal_mode], ids=lambda make: make.__name__)
def life(request: pytest.FixtureRequest, recorder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with TemporaryDirectory(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None) as copies:
        yield Life(recorder, tmp_path_factory.mktemp("life") / "recorded", Path(copies) / "copy", request.param)


@pytest.fixture
def random() -> Random:
    seed = Random().getrandbits(32)
    print(f"seed {seed}")
    return Random(seed)


# Who opens it first: Python's `sqlite3` if it is no session.
KINDS = (RustSQLiteSession, SQLiteSession, None)


def test_the_process_ends_between_two_writes_or_in_one(life: Life, random: Random) -> None:
    disk = Disk(life.before)
    for moment, event in enumerate(life.events):
        if isinstance(event, Mark):
            continue
        part = event.torn(random)
        if part != event:
            life.check(disk.contents_while(part), moment, random.choice(KINDS))
            tried("ends of a process in a write")
        if disk.do(event):
            life.check(disk.contents(), moment, random.choice(KINDS))
            tried("ends of a process between two writes")


def test_the_power_is_cut(life: Life, random: Random) -> None:
    cuts = Counter(random.choices(range(len(life.events)), k=POWER_CUTS))
    disk = Disk(life.before)
    for moment, event in enumerate(life.events):
        if not isinstance(event, Mark):
            disk.do(event)
        for _ in range(cuts[moment]):
            life.check(disk.after_power_cut(random), moment, random.choice(KINDS))
    tried("power cuts", POWER_CUTS)

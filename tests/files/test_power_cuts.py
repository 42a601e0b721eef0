"""A session file is always as it was before or after a save, whenever the process ends or the power
is cut.

The tests record everything that a real process does to its files. For any moment, they reproduce
the files that would be left in a folder, and open them.
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

from support.counters import tally
from support.files import dump
from support.power_cut.disk import Contents, Disk
from support.power_cut.program import MARKS, SAVED
from support.power_cut.recording import Mark, compile_recorder, is_valid_recording, record_program
from support.profile import PROFILE
from support.real_files import DATA
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="the recorder needs Linux")]

# In each recording, which has a few hundred writes.
POWER_CUTS = {"quick": 300, "long": 8000}.get(PROFILE, 2000)
SESSION = "anna.session"
# Recovering from a crash syncs the files, thousands of times in all. A file system in memory is
# enough for that.
IN_MEMORY = Path("/dev/shm")
State = dict[str, Any]


def no_file(path: Path) -> None:
    """The program creates the file."""


def old_file(path: Path) -> None:
    """The program upgrades the file."""
    shutil.copyfile(DATA / "telethon-0.19.1.6.session", path)


def file_in_wal_mode(path: Path) -> None:
    RustSQLiteSession(path).close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma journal_mode = wal")


def contents_of(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKS}


def write_files(contents: Contents, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder / SESSION


def summary(state: State) -> dict[str, int]:
    """Returns the numbers that the program wrote into each part of a saved state."""
    ((_, _, _, key, *_),) = state["sessions"]
    pts = [pts for id, pts, *_ in state["update_state"] if id == 0]
    hashes = {hash for _, hash, *_ in state["entities"]}
    assert (len(set(key)), len(pts), len(hashes)) == (1, 1, 1)
    return {"key": key[0], "pts": pts[0], "hash": hashes.pop(), "rows": len(state["entities"])}


class Recording:
    """What a program did to a session file, and the file's state after each save."""

    def __init__(self, recorder: Path, folder: Path, copy: Path, create: Callable[[Path], None]) -> None:
        self.copy = copy
        while True:
            create(write_files({}, folder))
            self.before = contents_of(folder)
            self.events = record_program(recorder, folder / SESSION)
            if is_valid_recording(self.events):
                break
        self.states: list[State] = []
        # The moment at which each state was saved, and its index in `states`.
        self.saved: list[tuple[int, int]] = []
        disk = Disk(self.before)
        for moment, event in enumerate(self.events):
            if not isinstance(event, Mark):
                disk.apply(event)
            elif event.what == SAVED:
                self._add_state(moment, event, dump(write_files(disk.contents(), self.copy)))
        # The recorder missed nothing.
        assert disk.contents() == contents_of(folder)

    def _add_state(self, moment: int, mark: Mark, state: State) -> None:
        if mark.is_saved:
            assert summary(state) == mark.is_saved
        self.saved.append((moment, len(self.states)))
        self.states.append(state)

    def check(self, contents: Contents, moment: int, opener: type[Any] | None) -> None:
        """Opens the files left at a moment. They must hold the last state saved by then, or the one
        being saved.
        """
        oldest = max(state for at, state in self.saved if at <= moment)
        newest = min((state for at, state in self.saved if at > moment), default=len(self.states) - 1)
        path = write_files(contents, self.copy)
        if opener is not None:
            session = opener(str(path))
            answers = (session.auth_key.key if session.auth_key else b"", session.get_update_state(0))
            session.close()
            # Opening creates or upgrades the file, which was the program's first step.
            oldest, newest = max(oldest, 1), max(newest, 1)
        state = dump(path)
        is_valid = state in self.states[oldest : newest + 1]
        assert is_valid, (
            f"at {moment} of {len(self.events)}, opened by {opener}: none of the states {oldest} to {newest}"
        )
        if opener is not None:
            pts = {id: pts for id, pts, *_ in state["update_state"]}
            assert (answers[0], answers[1] and answers[1].pts) == (state["sessions"][0][3], pts.get(0))


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) for the recorder")
    return compile_recorder(compiler, tmp_path_factory.mktemp("recorder"))


@pytest.fixture(scope="module", params=[no_file, old_file, file_in_wal_mode], ids=lambda create: create.__name__)
def recording(
    request: pytest.FixtureRequest, recorder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    with TemporaryDirectory(dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None) as copies:
        yield Recording(recorder, tmp_path_factory.mktemp("life") / "recorded", Path(copies) / "copy", request.param)


@pytest.fixture
def random() -> Random:
    seed = Random().getrandbits(32)
    print(f"seed {seed}")
    return Random(seed)


# What opens the files first. `None` stands for Python's `sqlite3`.
OPENERS = (RustSQLiteSession, SQLiteSession, None)


def test_the_process_ends_between_or_during_writes(recording: Recording, random: Random) -> None:
    disk = Disk(recording.before)
    for moment, event in enumerate(recording.events):
        if isinstance(event, Mark):
            continue
        part = event.torn(random)
        if part != event:
            recording.check(disk.contents_after_partial(part), moment, random.choice(OPENERS))
            tally("process ends during a write")
        if disk.apply(event):
            recording.check(disk.contents(), moment, random.choice(OPENERS))
            tally("process ends between two writes")


def test_the_power_is_cut(recording: Recording, random: Random) -> None:
    cuts = Counter(random.choices(range(len(recording.events)), k=POWER_CUTS))
    disk = Disk(recording.before)
    for moment, event in enumerate(recording.events):
        if not isinstance(event, Mark):
            disk.apply(event)
        for _ in range(cuts[moment]):
            recording.check(disk.after_power_cut(random), moment, random.choice(OPENERS))
    tally("power cuts", POWER_CUTS)

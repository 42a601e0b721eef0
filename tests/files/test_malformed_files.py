"""Malformed session files of every database version: each is opened with the data that can be
trusted, or refused with an error that names it, and then not changed.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest

from support.counters import tally
from support.file_client import FileWorker, fast_folder
from support.file_worker import KEYS
from support.mutations import at_random, one_by_one
from support.profile import PROFILE
from support.real_files import FILES

pytestmark = pytest.mark.slow

# The number of malformed files for each real one.
COUNT = {"quick": 25, "long": 1000}.get(PROFILE, 300)
BATCH = 50
# Set the variable to reproduce a failure.
SEED = int(os.environ.get("MALFORMED_FILES_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def worker() -> Iterator[FileWorker]:
    with fast_folder() as folder, FileWorker(folder) as worker:
        yield worker


def keys_in(path: Path) -> list[Any]:
    """Returns keys by which entities of the file are found."""
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("select * from entities where username is not null or phone is not null").fetchall()
    known = [
        value if isinstance(value, str) else int(value) for row in rows[::20] for value in (row[0], *row[2:5]) if value
    ]
    return [*KEYS, *known]


def malformed(path: Path) -> Iterator[bytes]:
    choice = random.Random(f"{SEED} {path.stem}")
    data = path.read_bytes()
    systematic = list(one_by_one(data))
    if len(systematic) > COUNT:
        systematic = choice.sample(systematic, COUNT // 2)
    return islice(chain(systematic, iter(lambda: at_random(data, choice), None)), COUNT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_malformed_file(path: Path, worker: FileWorker, folder: Path) -> None:
    faults: dict[str, list[str]] = {}
    files = malformed(path)
    while batch := {worker.new_path(): data for data in islice(files, BATCH)}:
        for copy, data in batch.items():
            copy.write_bytes(data)
            # Kept if the test fails.
            (folder / copy.name).write_bytes(data)
        for copy, report in zip(batch, worker.run(*batch, keys=keys_in(path)), strict=True):
            copy.unlink()
            if report.faults:
                faults[copy.name] = report.faults
            else:
                (folder / copy.name).unlink()
    tally("malformed files", COUNT)
    assert faults == {}, f"{len(faults)} files, kept in {folder}; MALFORMED_FILES_SEED={SEED}"

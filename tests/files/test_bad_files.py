"""Session files made malformed, of every database version: each is opened with what can be trusted, or refused with
words that name it, and then it is as it was.
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

from support.counters import tried
from support.file_client import Lives, fast_folder
from support.file_worker import KEYS
from support.mutations import at_random, one_by_one
from support.profile import PROFILE
from support.real_files import FILES

pytestmark = pytest.mark.slow

# For each real file.
COUNT = {"quick": 25, "long": 1000}.get(PROFILE, 300)
BATCH = 50
# What a run has found, another finds again with its seed.
SEED = int(os.environ.get("BAD_FILES_SEED", random.randrange(2**32)))


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with fast_folder() as folder, Lives(folder) as lives:
        yield lives


def keys_in(path: Path) -> list[Any]:
    """By which somebody of the file is found."""
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
def test_a_malformed_file(path: Path, lives: Lives, folder: Path) -> None:
    faults: dict[str, list[str]] = {}
    files = malformed(path)
    while batch := {lives.new_path(): data for data in islice(files, BATCH)}:
        for copy, data in batch.items():
            copy.write_bytes(data)
            # Kept if anything goes wrong.
            (folder / copy.name).write_bytes(data)
        for copy, life in zip(batch, lives.of(*batch, keys=keys_in(path)), strict=True):
            copy.unlink()
            if life.faults:
                faults[copy.name] = life.faults
            else:
                (folder / copy.name).unlink()
    tried("bad files", COUNT)
    assert faults == {}, f"{len(faults)} files, kept in {folder}; BAD_FILES_SEED={SEED}"

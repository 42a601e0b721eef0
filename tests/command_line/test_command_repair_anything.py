"""`telethon-session` with files that are malformed in any way: it never fails but with words, and `repair` makes each a
file that is sound, or leaves it as it is.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.cli import call, rows_of
from support.counters import tried
from support.file_client import fast_folder
from support.mutations import at_random, cut, one_by_one
from support.real_files import FILES
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

READING = [["info"], ["check"], ["list"], ["entities", "--json"], ["export"]]


def malformed(data: bytes, seed: int) -> bytes:
    choice = random.Random(seed)
    how = choice.randrange(4)
    return (
        cut(data, choice) if how == 0 else choice.choice([*one_by_one(data)]) if how == 1 else at_random(data, choice)
    )


# SQLite says of it that there is not enough memory.
@example(FILES[0], 447)
@given(st.sampled_from(FILES), st.integers(0, 2**32 - 1))
def test_anything(real: Path, seed: int) -> None:
    bad = malformed(real.read_bytes(), seed)
    with fast_folder() as folder:
        path = folder / "anna.session"
        path.write_bytes(bad)
        for command, *options in READING:
            assert call(command, *([folder] if command == "list" else [path]), *options).code in (0, 1)
        assert (path.read_bytes(), list(folder.iterdir())) == (bad, [path])
        was_sound = call("check", path).code == 0
        answer = call("repair", path)
        tried("files repaired")
        broken = Path(f"{path}.broken")
        if not broken.exists():
            assert (
                was_sound
                or "holds nothing" in answer.error
                or "no session of" in answer.error
                or "empty" in answer.error
            )
            assert (path.read_bytes(), list(folder.iterdir())) == (bad, [path])
        else:
            assert not was_sound
            assert (broken.read_bytes(), sorted(folder.iterdir())) == (bad, [path, broken])
            assert call("check", path).code == 0
            ReferenceSQLiteSession(str(path)).close()
        if answer.code == 0:
            RustSQLiteSession(path).close()
            assert len(rows_of(path, "sessions")) == 1

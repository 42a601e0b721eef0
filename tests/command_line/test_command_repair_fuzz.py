"""`telethon-session` on randomly damaged files: every command succeeds or reports an error, and
`repair` produces a valid file or leaves the damaged one unchanged.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.cli import call, rows_of
from support.counters import tally
from support.file_client import fast_folder
from support.mutations import at_random, cut, one_by_one
from support.real_files import FILES
from support.reference import ReferenceSQLiteSession
from telethon_session_rust import RustSQLiteSession

pytestmark = pytest.mark.slow

READ_COMMANDS = [["info"], ["check"], ["list"], ["entities", "--json"], ["export"]]


def damage(data: bytes, seed: int) -> bytes:
    choice = random.Random(seed)
    method = choice.randrange(4)
    if method == 0:
        return cut(data, choice)
    return choice.choice([*one_by_one(data)]) if method == 1 else at_random(data, choice)


# SQLite reports that this file needs too much memory.
@example(FILES[0], 447)
@given(st.sampled_from(FILES), st.integers(0, 2**32 - 1))
def test_random_damage(real: Path, seed: int) -> None:
    damaged = damage(real.read_bytes(), seed)
    with fast_folder() as folder:
        path = folder / "anna.session"
        path.write_bytes(damaged)
        for command, *options in READ_COMMANDS:
            assert call(command, *([folder] if command == "list" else [path]), *options).code in (0, 1)
        assert (path.read_bytes(), list(folder.iterdir())) == (damaged, [path])
        was_valid = call("check", path).code == 0
        result = call("repair", path)
        tally("files repaired")
        backup = Path(f"{path}.broken")
        if not backup.exists():
            assert (
                was_valid
                or "no session data" in result.error
                or "not a Telethon session" in result.error
                or "empty" in result.error
            )
            assert (path.read_bytes(), list(folder.iterdir())) == (damaged, [path])
        else:
            assert not was_valid
            assert (backup.read_bytes(), sorted(folder.iterdir())) == (damaged, [path, backup])
            assert call("check", path).code == 0
            ReferenceSQLiteSession(str(path)).close()
        if result.code == 0:
            RustSQLiteSession(path).close()
            assert len(rows_of(path, "sessions")) == 1

"""Programs that are killed while they write: the index beside the file lacks no entity, or is not used."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import closing

import pytest

from support.bounds import until_settled
from support.files import dump
from support.profile import PROFILE
from support.programs import command
from telethon_session_rust import RustSQLiteSession

pytestmark = [pytest.mark.slow, pytest.mark.any_release]

RUNS = {"quick": 5, "long": 200}.get(PROFILE, 30)


def test_whoever_is_in_the_file_is_found() -> None:
    numbers = random.Random(1)
    for run in range(RUNS):
        programs = [
            subprocess.Popen(command("write_bounded", str(run * 10 + n)), stdout=subprocess.PIPE, text=True)
            for n in range(1 + run % 2)
        ]
        # At any moment of a write, and on any machine after as many.
        for program in programs:
            for _ in range(numbers.randint(10, 40)):
                assert program.stdout.readline() == "written\n"
        time.sleep(numbers.random() / 50)
        for program in programs:
            program.kill()
            program.communicate()
        with closing(RustSQLiteSession("people", max_entities=50)) as session:
            rows = [row for row in dump("people.session")["entities"] if row[2]]
            # At once, while the index may be made again; and when it is complete.
            for settles in False, True:
                if settles and run % 5 == 0:
                    until_settled(session)
                for row in numbers.sample(rows, min(100, len(rows))):
                    assert session.get_input_entity(row[2]).user_id == row[0], (run, settles, row)
    assert len(rows) > 1000

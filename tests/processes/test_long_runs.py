"""A simulated bot that runs for months: it receives the same users repeatedly, with new names, and
saves often.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from telethon.sessions import SQLiteSession

from support.counters import tally
from support.files import dump
from support.profile import PROFILE
from support.programs import command
from support.programs.long_run import BATCH, SAVE_EVERY, TELETHON_ENTITIES, batches

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc"),
]

ENTITIES = 1_000_000 if PROFILE == "quick" else 10_000_000


def test_a_long_run() -> None:
    """Runs in a separate process, whose memory can be measured."""
    subprocess.run(command("long_run", ENTITIES), check=True)
    telethons = SQLiteSession("telethons")
    for n, batch in enumerate(batches(TELETHON_ENTITIES)):
        telethons.process_entities(batch)
        if n % SAVE_EVERY == 0:
            telethons.save()
    telethons.save()
    telethons.close()
    ours, theirs = (Path(f"{name}.session").stat().st_size for name in ("ours_then", "telethons"))
    assert ours <= theirs * 1.05
    assert len(dump("ours_then.session")["entities"]) == len(dump("telethons.session")["entities"])
    tally("entities of one long run", ENTITIES)
    tally("saves of one long run", ENTITIES // BATCH // SAVE_EVERY)

"""A bot that runs for months, compressed: the same people come again and again, renamed, and it saves and saves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from telethon.sessions import SQLiteSession

from support.counters import tried
from support.files import dump
from support.profile import PROFILE
from support.programs import command
from support.programs.long_life import ENTITIES_OF_TELETHON, PAGE, SAVE_EVERY, life

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory and descriptors are read from /proc"),
]

ENTITIES = 1_000_000 if PROFILE == "quick" else 10_000_000


def test_a_long_life() -> None:
    """In a process of its own, whose memory is nobody else's."""
    subprocess.run(command("long_life", ENTITIES), check=True)
    telethons = SQLiteSession("telethons")
    for n, page in enumerate(life(ENTITIES_OF_TELETHON)):
        telethons.process_entities(page)
        if n % SAVE_EVERY == 0:
            telethons.save()
    telethons.save()
    telethons.close()
    ours, theirs = (Path(f"{name}.session").stat().st_size for name in ("ours_then", "telethons"))
    assert ours <= theirs * 1.05
    assert len(dump("ours_then.session")["entities"]) == len(dump("telethons.session")["entities"])
    tried("entities of one long life", ENTITIES)
    tried("saves of one long life", ENTITIES // PAGE // SAVE_EVERY)

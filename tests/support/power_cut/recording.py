"""What a real process did to its files: `recorder.c` is loaded into it before all else and writes it down."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from support.power_cut.disk import ABOUT_NAMES, OPENED, WRITTEN, Operation, read_log
from support.power_cut.life import BEGINS, CALLS, MARKS

HERE = Path(__file__).parent


@dataclass
class Mark:
    """A word of the program in between; see `life.py`."""

    what: str
    is_saved: dict[str, int] | None = None


Event: TypeAlias = Operation | Mark


def compile_recorder(compiler: str, folder: Path) -> Path:
    library = folder / "recorder.so"
    arguments = ["-shared", "-fPIC", "-O1", "-pthread", "-o", library, HERE / "recorder.c", "-ldl"]
    subprocess.run([compiler, *arguments], check=True)
    return library


def record_life(recorder: Path, session: Path) -> list[Event]:
    """Has the program live with that session file, which is in a folder of its own."""
    folder = session.parent
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    environment = {
        "PYTHONPATH": str(HERE.parents[1]),
        "LD_PRELOAD": str(recorder),
        "RECORDED_FOLDER": str(folder),
        "RECORDER_LOG": str(log),
    }
    subprocess.run([sys.executable, "-m", "support.power_cut.life", session], check=True, env=environment)
    return _events(log, folder)


def is_as_planned(events: list[Event]) -> bool:
    """Whether nothing was written before the program called for it: if it is held up for half a second while it
    receives something, the session's own thread writes the half of it.
    """
    is_planned = True
    for event in events:
        if not isinstance(event, Mark):
            if not is_planned:
                return False
        elif event.what in (BEGINS, CALLS):
            is_planned = event.what == CALLS
    return True


def _events(log: Path, folder: Path) -> list[Event]:
    """With marks in the place of what was written to their file; and without what SQLite shares between processes in
    `-shm` beside a file in WAL mode, which is made anew by whoever opens it first.
    """
    events: list[Event] = []
    names: dict[int, str] = {}
    for operation in read_log(log, folder):
        name = operation.data.decode() if operation.what in ABOUT_NAMES else names[operation.fd]
        if operation.what == OPENED:
            names[operation.fd] = name
        if name == MARKS and operation.what == WRITTEN:
            what, more = json.loads(operation.data)
            events.append(Mark(what, **more))
        elif name != MARKS and not name.endswith("-shm"):
            events.append(operation)
    return events

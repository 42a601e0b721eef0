"""Records what a real process does to its files, by `recorder.c`, which is preloaded into it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from support.power_cut.disk import NAME_OPERATIONS, OPENED, WRITTEN, Operation, read_log
from support.power_cut.program import BEGINS, CALLS, MARKS

HERE = Path(__file__).parent


@dataclass
class Mark:
    """A mark of the program between its operations; see `program.py`."""

    what: str
    is_saved: dict[str, int] | None = None


Event: TypeAlias = Operation | Mark


def compile_recorder(compiler: str, folder: Path) -> Path:
    library = folder / "recorder.so"
    arguments = ["-shared", "-fPIC", "-O1", "-pthread", "-o", library, HERE / "recorder.c", "-ldl"]
    subprocess.run([compiler, *arguments], check=True)
    return library


def record_program(recorder: Path, session: Path) -> list[Event]:
    """Runs the program on that session file, which is alone in its folder, and returns the events."""
    folder = session.parent
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    environment = {
        "PYTHONPATH": str(HERE.parents[1]),
        "LD_PRELOAD": str(recorder),
        "RECORDED_FOLDER": str(folder),
        "RECORDER_LOG": str(log),
    }
    subprocess.run([sys.executable, "-m", "support.power_cut.program", session], check=True, env=environment)
    return _events(log, folder)


def is_valid_recording(events: list[Event]) -> bool:
    """Returns `True` if nothing was written before the program saved.

    If the program stalls for half a second between its changes, the session's writer thread saves
    part of them.
    """
    is_write_expected = True
    for event in events:
        if not isinstance(event, Mark):
            if not is_write_expected:
                return False
        elif event.what in (BEGINS, CALLS):
            is_write_expected = event.what == CALLS
    return True


def _events(log: Path, folder: Path) -> list[Event]:
    """Reads the log. Writes to the marks' file become marks.

    Operations on the `-shm` file of WAL mode are left out, because SQLite recreates it when the
    file is first opened.
    """
    events: list[Event] = []
    names: dict[int, str] = {}
    for operation in read_log(log, folder):
        name = operation.data.decode() if operation.what in NAME_OPERATIONS else names[operation.fd]
        if operation.what == OPENED:
            names[operation.fd] = name
        if name == MARKS and operation.what == WRITTEN:
            kind, details = json.loads(operation.data)
            events.append(Mark(kind, **details))
        elif name != MARKS and not name.endswith("-shm"):
            events.append(operation)
    return events
